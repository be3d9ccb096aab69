"""Groups: sets of members and of other groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Text
from ambit.api.members import DIRECTORY
from ambit.api.pagination import page_of
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from tenants import queries, services
from tenants.ids import public_id
from tenants.models import GroupChild, GroupMember


class GroupInput(Input):
    """A group to add."""

    external_id = Text(max_length=200, help_text="The group's id in the tenant's own system.")
    name = Text(max_length=200)


class GroupOutput(Output):
    """A group."""

    id = PublicId("group")
    external_id = serializers.CharField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()


class GroupWithMembersOutput(GroupOutput):
    """A group with those directly in it."""

    members = serializers.ListField(child=serializers.CharField())
    groups = serializers.ListField(child=serializers.CharField())


GroupPage = page_shape("GroupPage", GroupOutput(many=True))


class GroupsView(AmbitView):
    """All groups."""

    reads = "group.listed"
    policies = {"GET": DIRECTORY, "POST": DIRECTORY}
    makes = "group"

    @extend_schema(parameters=[PageQuery], responses=GroupPage)
    def get(self, request: Request) -> Response:
        """List the tenant's groups."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_groups(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda group: group.pk,
        )
        return Response(paged(page, GroupOutput))

    @extend_schema(request=GroupInput, responses={201: GroupOutput})
    def post(self, request: Request) -> Response:
        """Add a group."""
        return self.created([services.create_group(**self.body(GroupInput)).pk])

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the group made."""
        group = queries.get_group(group_id=object_ids[0])
        path = f"/v1/groups/{public_id('group', group.pk)}"
        return located(GroupOutput(group).data, path, status=status)


class GroupView(AmbitView):
    """One group."""

    reads = "group.read"
    policies = {"GET": DIRECTORY}

    @extend_schema(responses=GroupWithMembersOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a group and who is directly in it."""
        group = queries.get_group(group_id=self.id_in_path("group"))
        inside: dict[str, Any] = {
            "members": _public(
                "member", GroupMember.objects.filter(group_id=group.pk), "member_id"
            ),
            "groups": _public("group", GroupChild.objects.filter(parent_id=group.pk), "child_id"),
        }
        return Response({**GroupOutput(group).data, **inside})


class GroupMemberView(AmbitView):
    """A member's place in a group."""

    policies = {"PUT": DIRECTORY, "DELETE": DIRECTORY}

    @extend_schema(request=None, responses={204: None})
    def put(self, request: Request, id: str, member: str) -> Response:
        """Put a member into a group; once is as good as twice."""
        services.add_to_group(
            group_id=self.id_in_path("group"), member_id=self.id_in_path("member", "member")
        )
        return Response(status=204)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str, member: str) -> Response:
        """Take a member out of a group: in force with the next statement."""
        member_id = self.id_in_path("member", "member")
        queries.get_member(member_id=member_id)
        services.remove_from_group(group_id=self.id_in_path("group"), member_id=member_id)
        return Response(status=204)


class GroupChildView(AmbitView):
    """A group's place in another group."""

    policies = {"PUT": DIRECTORY, "DELETE": DIRECTORY}

    @extend_schema(request=None, responses={204: None})
    def put(self, request: Request, id: str, child: str) -> Response:
        """Put a group into a group: its members count as members of the outer one."""
        services.nest_group(
            parent_id=self.id_in_path("group"), child_id=self.id_in_path("group", "child")
        )
        return Response(status=204)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str, child: str) -> Response:
        """Take a group out of a group."""
        child_id = self.id_in_path("group", "child")
        queries.get_group(group_id=child_id)
        services.unnest_group(parent_id=self.id_in_path("group"), child_id=child_id)
        return Response(status=204)


def _public(kind: str, rows: Any, column: str) -> list[str]:
    return [public_id(kind, value) for value in rows.order_by("id").values_list(column, flat=True)]
