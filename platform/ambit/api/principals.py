"""Principals as callers write them: "tenant", "group:ID" or "member:ID"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ambit.access.types import ROLE_ORDER, GrantSpec, PrincipalRef
from ambit.api.bodies import Choice, FormList, Input, Text
from tenants.ids import parse_id, public_id
from tenants.models import Group, Member

TENANT = "tenant"
MAX_GRANTS = 200


class PrincipalNotFound(LookupError):
    """Grants name members or groups that this tenant does not have; carries their places."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__(f"{len(places)} unknown principals")
        self.places = tuple(places)


class PrincipalText(Text):
    """A principal; ID is an id, an external_id or, for members, an e-mail address."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text; raise ValidationError where it is no principal's."""
        text = super().to_internal_value(data)
        kind, _, name = text.partition(":")
        if text != TENANT and (kind not in {"group", "member"} or not name):
            raise ValidationError('Write "tenant", "group:ID" or "member:ID".', code="invalid")
        return text


class GrantShape(Input):
    """A role for a principal."""

    principal = PrincipalText(max_length=300)
    role = Choice(list(ROLE_ORDER))


class GrantsInput(Input):
    """Who gets which role."""

    grants = FormList(child=GrantShape(), max_length=MAX_GRANTS)


class GrantsOrNoneInput(Input):
    """A document's own grants; null gives it its collection's again."""

    grants = FormList(child=GrantShape(), max_length=MAX_GRANTS, allow_null=True)


class GrantOutput(serializers.Serializer[Any]):
    """A grant as it is shown."""

    principal = serializers.CharField()
    role = serializers.CharField()


def resolve_grants(given: Sequence[dict[str, str]]) -> list[GrantSpec]:
    """Return grants with their principals looked up; raise PrincipalNotFound, naming every miss."""
    texts = [grant["principal"] for grant in given]
    found = {**_members(texts), **_groups(texts), TENANT: PrincipalRef()}
    missing = [place for place, text in enumerate(texts) if text not in found]
    if missing:
        raise PrincipalNotFound(missing)
    return [
        GrantSpec(principal=found[text], role=grant["role"])  # type: ignore[arg-type]  # a Choice of RoleName
        for text, grant in zip(texts, given, strict=True)
    ]


def shown_grants(grants: Iterable[GrantSpec]) -> list[dict[str, str]]:
    """Return grants as callers see them."""
    return [{"principal": _shown(g.principal), "role": g.role} for g in grants]


def _shown(principal: PrincipalRef) -> str:
    if principal.member_id:
        return f"member:{public_id('member', principal.member_id)}"
    if principal.group_id:
        return f"group:{public_id('group', principal.group_id)}"
    return TENANT


def _members(texts: Sequence[str]) -> dict[str, PrincipalRef]:
    names = _names(texts, "member")
    ids = [i for i in (parse_id("member", name) for name in names) if i]
    emails = [name.lower() for name in names]
    rows = Member.objects.filter(Q(pk__in=ids) | Q(external_id__in=names) | Q(email__in=emails))
    found: dict[str, set[UUID]] = {}
    for pk, external_id, email in rows.values_list("pk", "external_id", "email"):
        for name in names:
            if name in {public_id("member", pk), external_id} or name.lower() == email:
                found.setdefault(name, set()).add(pk)
    # A name that is one member's external id and another's e-mail address is nobody's: none is guessed.
    return {
        f"member:{name}": PrincipalRef(member_id=next(iter(pks)))
        for name, pks in found.items()
        if len(pks) == 1
    }


def _groups(texts: Sequence[str]) -> dict[str, PrincipalRef]:
    names = _names(texts, "group")
    ids = [i for i in (parse_id("group", name) for name in names) if i]
    rows = Group.objects.filter(Q(pk__in=ids) | Q(external_id__in=names))
    found: dict[str, set[UUID]] = {}
    for pk, external_id in rows.values_list("pk", "external_id"):
        for name in names:
            if name in {public_id("group", pk), external_id}:
                found.setdefault(name, set()).add(pk)
    return {
        f"group:{name}": PrincipalRef(group_id=next(iter(pks)))
        for name, pks in found.items()
        if len(pks) == 1
    }


def _names(texts: Sequence[str], kind: str) -> list[str]:
    prefix = f"{kind}:"
    return [text.removeprefix(prefix) for text in texts if text.startswith(prefix)]
