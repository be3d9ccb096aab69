"""Look up members and groups for pages: names behind ids, suggestions, principals as people type them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, QuerySet

from ambit.access.types import GrantSpec, PrincipalRef, RoleName
from tenants.ids import parse_id
from tenants.models import Group, GroupMember, Member
from tenants.queries import MemberNotFound, find_member

SUGGESTIONS = 300
EVERYONE = "everyone"


class UnknownPrincipal(LookupError):
    """What was typed names no member, no group and not everyone."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A line that a text field offers while one types."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class GrantLine:
    """A grant as the editor shows it; value is what the form sends back for its principal."""

    value: str
    kind: str
    title: str
    detail: str
    icon: str
    role: RoleName
    link_id: UUID | None


def members_by_id(ids: Iterable[UUID | None]) -> dict[UUID, Member]:
    """Return the members behind ids."""
    return {m.pk: m for m in Member.objects.filter(pk__in={i for i in ids if i})}


def groups_by_id(ids: Iterable[UUID | None]) -> dict[UUID, Group]:
    """Return the groups behind ids."""
    return {g.pk: g for g in Group.objects.filter(pk__in={i for i in ids if i})}


def member_suggestions() -> list[Suggestion]:
    """Return active members as a text field offers them."""
    found = Member.objects.filter(suspended_at__isnull=True).order_by("name", "email")
    return [Suggestion(m.email, m.name or m.external_id) for m in found[:SUGGESTIONS]]


def group_suggestions() -> list[Suggestion]:
    """Return groups as a text field offers them."""
    found = Group.objects.order_by("name")[:SUGGESTIONS]
    return [Suggestion(f"group:{g.external_id}", f"{g.name} (group)") for g in found]


def principal_suggestions() -> list[Suggestion]:
    """Return everyone, groups and members as a text field offers them."""
    return [
        Suggestion(EVERYONE, "Everyone in this tenant"),
        *group_suggestions(),
        *member_suggestions(),
    ]


def find_group(text: str) -> Group:
    """Return the group behind an id, external_id or name; raise UnknownPrincipal."""
    wanted = text.strip().removeprefix("group:").strip()
    by_id = parse_id("group", wanted)
    for found in (
        Group.objects.filter(pk=by_id) if by_id else Group.objects.none(),
        Group.objects.filter(external_id=wanted),
        Group.objects.filter(name__iexact=wanted),
    ):
        groups = list(found[:2])
        if len(groups) == 1:
            return groups[0]
    raise UnknownPrincipal(text)


def find_principal(text: str) -> PrincipalRef:
    """Return whom a text names: everyone, group:…, or a member; raise UnknownPrincipal."""
    wanted = text.strip()
    if wanted.lower() == EVERYONE:
        return PrincipalRef()
    if wanted.startswith("group:") or parse_id("group", wanted):
        return PrincipalRef(group_id=find_group(wanted).pk)
    try:
        return PrincipalRef(member_id=find_member(text=wanted).pk)
    except MemberNotFound:
        return PrincipalRef(group_id=find_group(wanted).pk)


def value_of(principal: PrincipalRef) -> str:
    """Return a principal as a hidden field keeps it."""
    if principal.member_id:
        return f"m-{principal.member_id.hex}"
    return f"g-{principal.group_id.hex}" if principal.group_id else "all"


def principal_of(value: str) -> PrincipalRef:
    """Return the principal behind a hidden field's value; raise UnknownPrincipal."""
    if value == "all":
        return PrincipalRef()
    kind, _, text = value.partition("-")
    try:
        found = UUID(hex=text)
    except ValueError as error:
        raise UnknownPrincipal(value) from error
    if kind not in {"m", "g"}:
        raise UnknownPrincipal(value)
    return PrincipalRef(member_id=found) if kind == "m" else PrincipalRef(group_id=found)


def grant_lines(grants: Sequence[GrantSpec]) -> list[GrantLine]:
    """Return grants with names."""
    members = members_by_id(g.principal.member_id for g in grants)
    groups = groups_by_id(g.principal.group_id for g in grants)
    return [_line(grant, members, groups) for grant in grants]


def groups_with_counts(found: QuerySet[Group]) -> list[tuple[Group, int]]:
    """Return groups with how many members each has directly."""
    groups = list(found)
    rows = (
        GroupMember.objects.filter(group_id__in=[g.pk for g in groups])
        .values("group_id")
        .annotate(n=Count("id"))
    )
    counts = {row["group_id"]: row["n"] for row in rows}
    return [(g, counts.get(g.pk, 0)) for g in groups]


def _line(grant: GrantSpec, members: dict[UUID, Member], groups: dict[UUID, Group]) -> GrantLine:
    principal, value = grant.principal, value_of(grant.principal)
    if principal.member_id:
        m = members.get(principal.member_id)
        title = (m.name or m.email) if m else "a member who is gone"
        detail = m.email if m else ""
        return GrantLine(value, "member", title, detail, "person", grant.role, m.pk if m else None)
    if principal.group_id:
        g = groups.get(principal.group_id)
        title = g.name if g else "a group that is gone"
        return GrantLine(value, "group", title, "group", "group", grant.role, g.pk if g else None)
    return GrantLine(value, "tenant", "Everyone in this tenant", "", "public", grant.role, None)
