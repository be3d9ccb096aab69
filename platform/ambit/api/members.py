"""Members: the people of a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, Input, PublicId, Text
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.erasure.members import resume_member
from tenants import queries, services
from tenants.ids import public_id
from tenants.models import Role

DIRECTORY = Policy("directory", roles=frozenset({"admin"}), needs_member=False)


class Email(serializers.EmailField):
    """An e-mail address as text."""

    def to_internal_value(self, data: Any) -> str:
        """Return the address in lower case."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data).lower()


class MemberInput(Input):
    """A person to add."""

    external_id = Text(max_length=200, help_text="The person's id in the tenant's own system.")
    email = Email(max_length=254)
    name = Text(max_length=200, required=False, allow_blank=True, default="")
    role = Choice(Role.values, required=False, default="member")


class MemberChange(Input):
    """What to change of a member."""

    role = Choice(Role.values, required=False)
    suspended = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change of nothing."""
        if not attrs:
            raise ValidationError("Send `role`, `suspended` or both.", code="required")
        return attrs


class MemberOutput(Output):
    """A member."""

    id = PublicId("member")
    external_id = serializers.CharField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.values)
    created_at = serializers.DateTimeField()
    suspended_at = serializers.DateTimeField(allow_null=True)


MemberPage = page_shape("MemberPage", MemberOutput(many=True))


class MembersView(AmbitView):
    """All members."""

    reads = "member.listed"
    policies = {"GET": DIRECTORY, "POST": DIRECTORY}
    makes = "member"

    @extend_schema(parameters=[PageQuery], responses=MemberPage)
    def get(self, request: Request) -> Response:
        """List the tenant's members."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_members(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda member: member.pk,
        )
        return Response(paged(page, MemberOutput))

    @extend_schema(request=MemberInput, responses={201: MemberOutput})
    def post(self, request: Request) -> Response:
        """Add a member."""
        member = services.create_member(**self.body(MemberInput))
        return self.created([member.pk])

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the member made."""
        member = queries.get_member(member_id=object_ids[0])
        path = f"/v1/members/{public_id('member', member.pk)}"
        return located(MemberOutput(member).data, path, status=status)


class MemberView(AmbitView):
    """One member."""

    reads = "member.read"
    policies = {"GET": DIRECTORY, "PATCH": DIRECTORY}

    @extend_schema(responses=MemberOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a member."""
        return self._shown(self.id_in_path("member"))

    @extend_schema(request=MemberChange, responses=MemberOutput)
    def patch(self, request: Request, id: str) -> Response:
        """Change a member's role, or suspend it: it then sees nothing and its keys are refused."""
        member_id = self.id_in_path("member")
        change = self.body(MemberChange)
        if "role" in change:
            services.set_member_role(member_id=member_id, role=change["role"])
        if "suspended" in change:
            if change["suspended"]:
                services.set_member_suspended(member_id=member_id, suspended=True)
            else:
                resume_member(member_id=member_id)
        return self._shown(member_id)

    def _shown(self, member_id: UUID) -> Response:
        return Response(MemberOutput(queries.get_member(member_id=member_id)).data)
