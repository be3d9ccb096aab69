"""API keys: shown once when they are made, then only named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, FormList, Input, PublicId, Text
from ambit.api.idempotency import KeyShownOnce
from ambit.api.members import DIRECTORY
from ambit.api.pagination import page_of_all
from ambit.api.permissions import ScopeMissing
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView
from tenants import queries, services
from tenants.services import SCOPES, NewKey


class KeyInput(Input):
    """A key to make; it can do no more than the key that makes it."""

    name = Text(max_length=200, help_text="What it is for.")
    scopes = FormList(
        child=Choice(SCOPES),
        required=False,
        min_length=1,
        help_text="What it may do; left out, what the calling key may.",
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        """Refuse a key that has expired already."""
        if value is not None and value <= timezone.now():
            raise ValidationError("Choose a time in the future.", code="past")
        return value


class NewKeyOutput(Output):
    """A key just made, with its text."""

    id = PublicId("key")
    key = serializers.CharField(source="text", help_text="Keep it: it is never shown again.")
    name = serializers.SerializerMethodField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)

    def get_name(self, _key: NewKey) -> str:
        """Return the name it was made with."""
        return str(self.context["name"])


class KeyOutput(Output):
    """A key, without its text."""

    id = PublicId("key")
    name = serializers.CharField()
    member = PublicId("member", source="member_id", allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


KeyPage = page_shape("KeyPage", KeyOutput(many=True))


class KeysBase(AmbitView):
    """Keys of a service, or of one member."""

    makes = "key"

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Refuse: a key's text is shown by the request that made it and by no other."""
        raise KeyShownOnce

    def listed(self, member_id: UUID | None) -> Response:
        """Answer a page of the keys."""
        asked = self.query(PageQuery)
        page = page_of_all(
            queries.list_keys(member_id=member_id),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda key: key.pk,
        )
        return Response(paged(page, KeyOutput))

    def wanted(self) -> dict[str, Any]:
        """Return the values of the key to make; raise ScopeMissing for more than the caller has."""
        asked = self.body(KeyInput)
        own = self.caller.scopes if self.caller else frozenset()
        asked.setdefault("scopes", [scope for scope in SCOPES if scope in own])
        for scope in asked["scopes"]:
            if scope not in own:
                raise ScopeMissing(scope)
        return asked

    def shown_once(self, key: NewKey, *, name: str) -> Response:
        """Answer the key with its text."""
        self.made = (key.id,)
        return Response(NewKeyOutput(key, context={"name": name}).data, status=201)


class ServiceKeysView(KeysBase):
    """The keys of the tenant's services."""

    reads = "key.listed"
    policies = {"GET": DIRECTORY, "POST": DIRECTORY}

    @extend_schema(parameters=[PageQuery], responses=KeyPage)
    def get(self, request: Request) -> Response:
        """List the services' keys."""
        return self.listed(None)

    @extend_schema(request=KeyInput, responses={201: NewKeyOutput})
    def post(self, request: Request) -> Response:
        """Make a key for a service, which names the member it acts for with each call."""
        asked = self.wanted()
        return self.shown_once(services.create_service_key(**asked), name=asked["name"])


class MemberKeysView(KeysBase):
    """The keys of one member."""

    reads = "member.keys_listed"
    policies = {"GET": DIRECTORY, "POST": DIRECTORY}

    @extend_schema(parameters=[PageQuery], responses=KeyPage)
    def get(self, request: Request, id: str) -> Response:
        """List a member's keys."""
        member = queries.get_member(member_id=self.id_in_path("member"))
        return self.listed(member.pk)

    @extend_schema(request=KeyInput, responses={201: NewKeyOutput})
    def post(self, request: Request, id: str) -> Response:
        """Make a key that acts for one member."""
        member_id = self.id_in_path("member")
        asked = self.wanted()
        made = services.create_member_key(member_id=member_id, **asked)
        return self.shown_once(made, name=asked["name"])


class KeyView(AmbitView):
    """One key, a service's or a member's."""

    policies = {"DELETE": DIRECTORY}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:
        """Revoke a key: it is refused from now on."""
        services.revoke_key(key_id=self.id_in_path("key"))
        return Response(status=204)
