"""What was used: tokens, requests and retrieval, by day, member, key, model and kind."""

from __future__ import annotations

import hashlib
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, PublicId, Text
from ambit.api.document_shapes import AsQuery
from ambit.api.pagination import page_of_all
from ambit.api.permissions import Caller, Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView
from ambit.metering.queries import list_usage, this_month
from ambit.metering.tables import usage_csv, usage_file_name
from ambit.metering.types import GROUPS, GroupName, Usage
from tenants.models import Role

READS = Policy("usage", needs_member=False)
MAX_DAYS = 400
CSV = "text/csv"


class UsageQuery(AsQuery, PageQuery):
    """Which days, and grouped by what. Fields whose names are words of Python's are added by hand."""

    roles = ("json", "csv")

    to = serializers.DateField(required=False, help_text="The last day, UTC; today if not sent.")
    group_by = Text(
        required=False,
        default="",
        max_length=60,
        help_text=f"Some of {', '.join(GROUPS)}, comma separated; not sent: one row, all together.",
    )

    def get_fields(self) -> dict[str, Any]:
        """Add the field `from`."""
        words = "The first day, UTC; the first of this month if not sent."
        return {
            "from": serializers.DateField(required=False, help_text=words),
            **super().get_fields(),
        }

    def validate_group_by(self, value: str) -> tuple[GroupName, ...]:
        """Return the groups in their own order; raise ValidationError for another word, or one named twice."""
        words = [word.strip() for word in value.split(",")] if value else []
        if set(words) - set(GROUPS) or len(set(words)) < len(words):
            raise ValidationError(
                f"Name each of these once at most: {', '.join(GROUPS)}.", code="invalid"
            )
        return tuple(name for name in GROUPS if name in words)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Fill in the days; raise ValidationError where they are out of order or too many."""
        attrs.setdefault("to", timezone.now().astimezone(UTC).date())
        attrs.setdefault("from", min(this_month(), attrs["to"]))
        if attrs["from"] > attrs["to"]:
            raise ValidationError({"from": "Send a day that is not after `to`."}, code="invalid")
        if attrs["to"] - attrs["from"] >= timedelta(days=MAX_DAYS):
            raise ValidationError(
                {"from": f"Ask for at most {MAX_DAYS} days at once."}, code="invalid"
            )
        return attrs


class UsageRowOutput(Output):
    """Sums of requests that are over. Of day, member, key, model and kind it has what was grouped by."""

    day = serializers.DateField(required=False)
    member = PublicId(
        "member", source="member_id", required=False, allow_null=True, help_text="null: erased."
    )
    key = PublicId(
        "key", source="key_id", required=False, allow_null=True, help_text="null: none, or erased."
    )
    model = serializers.CharField(required=False)
    kind = Choice(["answer", "chat", "condense"], required=False)
    requests = serializers.IntegerField()
    unfinished = serializers.IntegerField(
        help_text="Of these: cancelled, failed, stopped, withheld, or abandoned by a server that died."
    )
    estimated = serializers.IntegerField(
        help_text="Of these: the tokens are an estimate, because the model did not get to count them."
    )
    passages = serializers.IntegerField(help_text="Given to the model, in all.")
    retrieval_ms = serializers.IntegerField(help_text="Spent on finding them.")
    prompt_tokens = serializers.IntegerField(help_text="Cached ones included.")
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()

    def to_representation(self, instance: Usage) -> dict[str, Any]:
        """Leave out what was not grouped by."""
        shown: dict[str, Any] = super().to_representation(instance)
        return {n: v for n, v in shown.items() if n not in GROUPS or n in instance.groups}


UsagePage = page_shape("UsagePage", UsageRowOutput(many=True))


class UsageView(AmbitView):
    """The tenant's usage."""

    reads = "usage.read"
    policies = {"GET": READS}

    @extend_schema(
        parameters=[UsageQuery],
        responses={(200, "application/json"): UsagePage, (200, CSV): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> Any:
        """Show what was used, day by day (UTC): a member its own, administrators and services all of the tenant.

        A request counts on the day it began, once it is over. With as=csv, or Accept: text/csv, all rows as CSV.
        """
        asked = self.query(UsageQuery)
        rows = list_usage(
            first=asked["from"],
            last=asked["to"],
            groups=asked["group_by"],
            member_id=_whose(self.caller),
        )
        if asked["as"] == "csv" or CSV in request.headers.get("Accept", ""):
            return _file(rows, asked)
        page = page_of_all(rows, cursor=asked.get("cursor"), limit=asked["limit"], id_of=_place_of)
        days = {"from": asked["from"].isoformat(), "to": asked["to"].isoformat()}
        return Response({**days, **paged(page, UsageRowOutput)})


def _file(rows: list[Usage], asked: dict[str, Any]) -> HttpResponse:
    name = usage_file_name(asked["from"], asked["to"])
    return HttpResponse(
        usage_csv(rows, groups=asked["group_by"]),
        content_type=f"{CSV}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _whose(caller: Caller | None) -> UUID | None:
    """Return whose usage the caller may see; None, everybody's, for administrators and services that name nobody."""
    if caller is None:
        raise PermissionError("nobody asks")
    return None if caller.member_id is None or caller.role == Role.ADMIN else caller.member_id


def _place_of(row: Usage) -> UUID:
    """Return an id by which a row is found again when the next page is asked for: it tells nothing."""
    named = "|".join(
        str(getattr(row, name)) for name in ("day", "member_id", "key_id", "model", "kind")
    )
    return UUID(bytes=hashlib.sha256(named.encode()).digest()[:16])
