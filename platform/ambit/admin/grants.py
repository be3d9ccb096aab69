"""The grants editor: what its form sends, as a list of grants."""

from __future__ import annotations

from typing import Any, cast

from django.http import QueryDict

from ambit.access.types import ROLE_ORDER, GrantSpec, PrincipalRef, RoleName
from ambit.admin.people import UnknownPrincipal, find_principal, principal_of

REMOVE = "remove"


GONE = "A member or group in the list is gone. Load the page again; nothing was changed."


class GrantsRefused(ValueError):
    """The grants as sent cannot be kept; carries a sentence that says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__("grants refused")
        self.sentence = sentence


def read_grants(data: QueryDict) -> list[GrantSpec]:
    """Return the grants that the editor sent, without the removed; raise GrantsRefused."""
    grants: dict[PrincipalRef, RoleName] = {}
    for value, role in _pairs(data, "principal", "role"):
        if role != REMOVE:
            _add(grants, _kept(value), role)
    for text, role in _pairs(data, "new_principal", "new_role"):
        if text.strip():
            _add(grants, _named(text), role)
    return [GrantSpec(principal, role) for principal, role in grants.items()]


def editor(lines: Any, suggestions: Any) -> dict[str, Any]:
    """Return what the editor's template needs."""
    roles = [(role, role.capitalize()) for role in ROLE_ORDER]
    return {"grants": lines, "suggestions": suggestions, "roles": roles}


def _pairs(data: QueryDict, first: str, second: str) -> list[tuple[str, str]]:
    ones, others = data.getlist(first), data.getlist(second)
    if len(ones) != len(others):
        raise GrantsRefused("The form arrived incomplete; nothing was changed.")
    return list(zip(ones, others, strict=True))


def _add(grants: dict[PrincipalRef, RoleName], principal: PrincipalRef, role: str) -> None:
    if role not in ROLE_ORDER:
        raise GrantsRefused("Choose reader, editor or owner; nothing was changed.")
    if principal in grants:
        raise GrantsRefused("Each member or group can be listed once; nothing was changed.")
    grants[principal] = cast(RoleName, role)


def _kept(value: str) -> PrincipalRef:
    try:
        return principal_of(value)
    except UnknownPrincipal as error:
        raise GrantsRefused("The form arrived incomplete; nothing was changed.") from error


def _named(text: str) -> PrincipalRef:
    try:
        return find_principal(text)
    except UnknownPrincipal as error:
        raise GrantsRefused(
            f"There is no active member or group “{text.strip()}”. Choose one of the suggestions; "
            "groups start with “group:”. Nothing was changed."
        ) from error
