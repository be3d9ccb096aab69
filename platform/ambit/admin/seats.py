"""Who sits at the admin web UI: an operator, or a tenant's member with a role that may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from django.http import HttpRequest

from tenants.models import Account, Member, Role, Tenant
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope

SeatRole = Literal["operator", "admin", "privacy_officer", "auditor"]
OPERATOR_ROLE: SeatRole = "operator"
TENANT_ROLES: frozenset[SeatRole] = frozenset({"admin", "privacy_officer", "auditor"})
EVERY_ROLE: frozenset[SeatRole] = frozenset({"operator", *TENANT_ROLES})
ROLE_WORDS: dict[str, str] = {"operator": "Operator", **dict(Role.choices)}


@dataclass(frozen=True, slots=True)
class Seat:
    """A signed-in person's place: an operator has no tenant, everyone else exactly one."""

    account_id: UUID
    role: SeatRole
    tenant_id: UUID | None = None
    member_id: UUID | None = None
    tenant_name: str = field(default="", repr=False)
    name: str = field(default="Operator", repr=False)

    @property
    def is_operator(self) -> bool:
        """Say whether this is an operator, who sees tenants and never content."""
        return self.role == OPERATOR_ROLE

    @property
    def role_words(self) -> str:
        """Return the role as people read it."""
        return ROLE_WORDS[self.role]


def seat_for(account: Account) -> Seat | None:
    """Return an account's seat; None when it is off, suspended, or its member's role has none."""
    if not account.is_active:
        return None
    if account.tenant_id is None or account.member_id is None:
        return Seat(account.pk, OPERATOR_ROLE) if account.is_operator else None
    tenant = Tenant.objects.using(OPERATOR).filter(pk=account.tenant_id).first()
    if tenant is None or tenant.suspended_at is not None or tenant.closing_at is not None:
        return None
    with tenant_scope(tenant.pk):
        member = Member.objects.filter(pk=account.member_id, suspended_at__isnull=True).first()
    if member is None or member.role not in TENANT_ROLES:
        return None
    return Seat(
        account_id=account.pk,
        role=member.role,
        tenant_id=tenant.pk,
        member_id=member.pk,
        tenant_name=tenant.name,
        name=member.name or member.email,
    )


def seat_of(request: HttpRequest) -> Seat | None:
    """Return who sits behind a request; None when nobody is signed in."""
    return getattr(request.user, "seat", None)
