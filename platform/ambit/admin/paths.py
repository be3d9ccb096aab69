"""Say by which way each reader reaches a document; the list of readers itself comes from clearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ambit.access.types import GrantSpec
from ambit.admin.people import groups_by_id
from tenants.models import GroupChild, GroupMember, Member
from tenants.services import groups_within


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a member to a grant."""

    words: str
    icon: str
    role: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A member who may read, and why."""

    member: Member
    ways: tuple[Way, ...]


def readers_with_ways(*, readers: set[UUID], grants: Sequence[GrantSpec]) -> list[Reader]:
    """Return the readers by name, each with the grants it is reached by."""
    ways: dict[UUID, list[Way]] = {member_id: [] for member_id in readers}
    for grant in grants:
        for member_id, way in _ways(grant, readers):
            if member_id in ways:
                ways[member_id].append(way)
    found = Member.objects.filter(pk__in=readers).order_by("name", "email")
    return [Reader(m, tuple(ways[m.pk])) for m in found]


def _ways(grant: GrantSpec, readers: set[UUID]) -> list[tuple[UUID, Way]]:
    principal = grant.principal
    if principal.member_id:
        return [(principal.member_id, Way("granted directly", "person", grant.role))]
    if principal.group_id:
        return _through_group(principal.group_id, grant.role)
    way = Way("everyone in this tenant", "public", grant.role)
    return [(member_id, way) for member_id in readers]


def _through_group(group_id: UUID, role: str) -> list[tuple[UUID, Way]]:
    inside = groups_within(group_id=group_id)
    names = {pk: g.name for pk, g in groups_by_id(inside).items()}
    chains = _chains(group_id, inside)
    rows = GroupMember.objects.filter(group_id__in=inside).values_list("member_id", "group_id")
    return [
        (member_id, Way(" → ".join(names.get(g, "?") for g in chains[own]), "group", role))
        for member_id, own in rows
    ]


def _chains(group_id: UUID, inside: set[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    """Return for each group inside a group the shortest way from it up to that group."""
    children: dict[UUID, list[UUID]] = {}
    for row in GroupChild.objects.filter(parent_id__in=inside):
        children.setdefault(row.parent_id, []).append(row.child_id)
    chains: dict[UUID, tuple[UUID, ...]] = {group_id: (group_id,)}
    waiting = [group_id]
    while waiting:
        parent = waiting.pop(0)
        for child in children.get(parent, ()):
            if child not in chains:
                chains[child] = (child, *chains[parent])
                waiting.append(child)
    return chains
