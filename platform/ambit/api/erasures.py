"""Erasures: a person or documents are forgotten, and a receipt says what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Text
from ambit.api.document_shapes import SubjectShape
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.corpus.types import SubjectRef
from ambit.erasure import queries, services
from ambit.erasure.types import ErasureView as Erasure
from tenants.ids import NO_ID, parse_id, public_id

OFFICERS = Policy("erasures", roles=frozenset({"privacy_officer", "admin"}), needs_member=False)
MAX_DOCUMENTS = 10_000


class ErasureInput(Input):
    """Whom or what to forget: `subject` or `documents`, never both, never neither."""

    subject = SubjectShape(required=False)
    documents = serializers.ListField(
        child=PublicId("document"), required=False, max_length=MAX_DOCUMENTS
    )
    reason = Text(max_length=2000, help_text="Kept sealed, without the person's identifiers.")
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Count what would go; hide and keep nothing."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a truth value that is spelled as something else, where it decides about destruction."""
        given = self.initial_data.get("dry_run", False)
        if not isinstance(given, bool):
            words = [ErrorDetail("Send true or false.", code="invalid")]
            raise ValidationError({"dry_run": words})
        return attrs


class StateOutput(Output):
    """When a case reached a state."""

    state = serializers.CharField()
    at = serializers.DateTimeField()


class HoldingOutput(Output):
    """What one place holds of the case."""

    name = serializers.CharField()
    title = serializers.CharField()
    found = serializers.IntegerField()
    destroyed = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True, help_text="null: not verified yet.")


class ErasureOutput(Output):
    """A case; a dry run has no id."""

    id = PublicId("erasure", allow_null=True)
    state = serializers.CharField()
    dry_run = serializers.BooleanField()
    subject_type = serializers.CharField()
    subject_hash = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    received_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(
        help_text="One calendar month from receipt, Art. 12(3) GDPR."
    )
    states = StateOutput(many=True)
    complete = serializers.BooleanField()
    attempts = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    holdings = HoldingOutput(many=True)
    n_shared_documents = serializers.IntegerField(
        help_text="Of the documents, those that are about other people too."
    )


ErasurePage = page_shape("ErasurePage", ErasureOutput(many=True))


class ErasuresView(AmbitView):
    """All cases."""

    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "erasure"

    @extend_schema(parameters=[PageQuery], responses=ErasurePage)
    def get(self, request: Request) -> Response:
        """List the tenant's erasures."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_erasures(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda case: case.id or NO_ID,
        )
        return Response(paged(page, ErasureOutput))

    @extend_schema(request=ErasureInput, responses={202: ErasureOutput, 200: ErasureOutput})
    def post(self, request: Request) -> Response:
        """Erase: hidden from every reader with this answer, destroyed and verified by the workers."""
        asked = self.body(ErasureInput)
        case = services.request_erasure(
            subject=_subject(asked.get("subject")),
            document_ids=asked.get("documents"),
            reason=asked["reason"],
            dry_run=asked["dry_run"],
        )
        if case.id is None:
            return Response(ErasureOutput(case).data, status=200)
        self.made = (case.id,)
        return _accepted(case, status=202)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the case opened."""
        return _accepted(queries.get_erasure(erasure_id=object_ids[0]), status=status)


class ErasureView(AmbitView):
    """One case."""

    policies = {"GET": OFFICERS}

    @extend_schema(responses=ErasureOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show an erasure and how far it has come."""
        case = queries.get_erasure(erasure_id=self.id_in_path("erasure"))
        return Response(ErasureOutput(case).data)


class ReceiptView(AmbitView):
    """The receipt of one case."""

    policies = {"GET": OFFICERS}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, id: str) -> Response:
        """Show what was found, destroyed and verified, holding by holding, and what is not yet gone."""
        return Response(queries.get_receipt(erasure_id=self.id_in_path("erasure")))


def _subject(given: dict[str, str] | None) -> SubjectRef | None:
    if given is None:
        return None
    if given["type"] == "member":
        return SubjectRef("member", str(parse_id("member", given["value"]) or NO_ID))
    return SubjectRef(given["type"], given["value"])  # type: ignore[arg-type]  # a Choice of its types


def _accepted(case: Erasure, *, status: int) -> Response:
    path = f"/v1/erasures/{public_id('erasure', case.id or NO_ID)}"
    return located(ErasureOutput(case).data, path, status=status)
