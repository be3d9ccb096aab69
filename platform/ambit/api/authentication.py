"""Who is calling: the key's hash is looked up in the tenant it claims, and that scope stays open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from ambit.api.permissions import Caller, Unauthenticated
from tenants.audit import Actor, acting_as
from tenants.models import Member
from tenants.queries import (
    KeyHolder,
    KeyRefused,
    MemberNotFound,
    find_member,
    get_member,
    key_holder,
    operator_key,
)
from tenants.scope import set_local, tenant_scope
from tenants.secrets import PresentedKey, parse_key

MEMBER_HEADER = "Ambit-Member"
MAX_HEADER_LENGTH = 400


class MemberUnknown(LookupError):
    """A service's key named a member that is not there or is suspended: not told apart."""


class MemberMismatch(ValueError):
    """A member's own key named somebody else."""


class KeyAuthentication(BaseAuthentication):
    """Reads the key from the Authorization header; nothing is looked up before the scope is open."""

    def authenticate(self, request: Request) -> tuple[None, PresentedKey] | None:
        """Return what the key claims, None without a header; raise Unauthenticated for another shape."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        kind, _, text = header.partition(" ")
        presented = parse_key(text.strip()) if kind.lower() == "bearer" else None
        if presented is None:
            raise Unauthenticated
        return None, presented

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="ambit"'


@contextmanager
def caller_scope(
    presented: PresentedKey, *, member: str | None, request_id: UUID
) -> Iterator[Caller]:
    """Open the scope of whoever holds the key and yield who that is; raise Unauthenticated.

    Everything until the end of the block is one transaction of that tenant, done by that caller.
    Also raises MemberUnknown and MemberMismatch.
    """
    if presented.tenant_id is None:
        operator = Caller("operator", _operator(presented))
        with acting_as(Actor("operator", operator.key_id, request_id=request_id)):
            yield operator
        return
    with tenant_scope(presented.tenant_id):
        caller = _caller(presented, presented.tenant_id, member=member)
        if caller.member_id is not None:
            set_local("member_id", str(caller.member_id))
        with acting_as(_actor(caller, request_id)):
            yield caller


def member_header(request: Request) -> str | None:
    """Return whom a service's key names, as UTF-8; None where it names nobody."""
    given = request.headers.get(MEMBER_HEADER)
    if given is None:
        return None
    try:
        # HTTP hands headers over as Latin-1; an external id may hold any letter.
        return given.strip().encode("latin-1").decode()
    except UnicodeError:
        return given.strip()


def _operator(presented: PresentedKey) -> UUID:
    try:
        return operator_key(presented)
    except KeyRefused as error:
        raise Unauthenticated from error


def _caller(presented: PresentedKey, tenant_id: UUID, *, member: str | None) -> Caller:
    try:
        holder = key_holder(presented)
    except KeyRefused as error:
        raise Unauthenticated from error
    found = _own_member(holder, member) if holder.member_id else _named_member(member)
    return Caller(
        kind="member" if holder.member_id else "service",
        key_id=holder.key_id,
        tenant_id=tenant_id,
        member_id=found.pk if found else None,
        role=found.role if found else None,
        scopes=holder.scopes,
    )


def _own_member(holder: KeyHolder, named: str | None) -> Member:
    if holder.member_id is None:
        raise Unauthenticated
    found = get_member(member_id=holder.member_id)
    if found.suspended_at is not None:
        raise Unauthenticated
    if named is not None and _find(named) != found:
        raise MemberMismatch
    return found


def _named_member(named: str | None) -> Member | None:
    if named is None:
        return None
    found = _find(named)
    if found is None:
        raise MemberUnknown
    return found


def _find(named: str) -> Member | None:
    if not named or len(named) > MAX_HEADER_LENGTH or "\x00" in named:
        return None
    try:
        return find_member(text=named)
    except MemberNotFound:
        return None


def _actor(caller: Caller, request_id: UUID) -> Actor:
    if caller.kind == "member":
        return Actor("member", caller.member_id, request_id=request_id)
    return Actor("service", caller.key_id, member_id=caller.member_id, request_id=request_id)
