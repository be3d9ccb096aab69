"""The tenant a piece of work belongs to: in a context variable for code, in the transaction for Postgres.

Nothing here outlives its transaction: every setting is transaction-local, so a pooled connection
returns to the pool knowing nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from uuid import UUID

from django.db import connections, transaction

_current: ContextVar[UUID | None] = ContextVar("ambit_tenant", default=None)
# What the blocks around have set, to be set again when an inner block ends.
_set: ContextVar[Mapping[str, str]] = ContextVar("ambit_settings", default=MappingProxyType({}))


class NoTenantScope(RuntimeError):
    """Tenant data was asked for outside any tenant's scope."""


class WrongTenantScope(RuntimeError):
    """A scope was opened inside another tenant's scope."""


def current_tenant_id() -> UUID:
    """Return the tenant in scope; raise NoTenantScope, never guess."""
    tenant_id = _current.get()
    if tenant_id is None:
        raise NoTenantScope("no tenant is in scope; open tenant_scope(tenant_id) first")
    return tenant_id


def set_local(name: str, value: str, *, using: str = "default") -> None:
    """Set one of the ambit.* settings for the rest of the transaction, and no longer."""
    connection = connections[using]
    if not connection.in_atomic_block:
        raise NoTenantScope(f"{name} may be set inside a transaction only")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [f"ambit.{name}", value])


@contextmanager
def tenant_scope(
    tenant_id: UUID, *, member_id: UUID | None = None, custody: bool = False
) -> Iterator[None]:
    """Open a transaction that sees one tenant; with custody also its documents' records.

    Custody shows titles' records and states to the tenant's administrators and to workers. It never
    shows a passage: those need a clearance. Raises WrongTenantScope inside another tenant's scope.
    """
    outer = _current.get()
    if outer is not None and outer != tenant_id:
        raise WrongTenantScope("a scope of one tenant may not be opened inside another's")
    inside_transaction = connections["default"].in_atomic_block
    with transaction.atomic():
        token = _current.set(tenant_id)
        try:
            set_local("tenant_id", str(tenant_id))
            with ExitStack() as scopes:
                if member_id is not None:
                    scopes.enter_context(member_scope(member_id))
                if custody:
                    scopes.enter_context(custody_scope())
                yield
        finally:
            _current.reset(token)
            # At the end of a transaction Postgres forgets by itself.
            if outer is None and inside_transaction and not _is_broken():
                set_local("tenant_id", "")


@contextmanager
def custody_scope() -> Iterator[None]:
    """See the records of all the tenant's documents until the block ends; never a passage."""
    with _set_until_the_end("custody", "on"):
        yield


@contextmanager
def member_scope(member_id: UUID) -> Iterator[None]:
    """See and write what is one member's own, such as saved answers, until the block ends."""
    with _set_until_the_end("member_id", str(member_id)):
        yield


@contextmanager
def audience_scope(audience_ids: Iterable[UUID]) -> Iterator[None]:
    """See what these audiences may read until the block ends; none given, nothing is seen."""
    with _set_until_the_end("audience_ids", "{" + ",".join(str(a) for a in audience_ids) + "}"):
        yield


@contextmanager
def _set_until_the_end(name: str, value: str) -> Iterator[None]:
    current_tenant_id()
    before = _set.get()
    set_local(name, value)
    token = _set.set({**before, name: value})
    try:
        yield
    finally:
        _set.reset(token)
        if not _is_broken():
            set_local(name, before.get(name, ""))


def _is_broken() -> bool:
    """Say whether the transaction failed, so that its settings are rolled back by Postgres itself."""
    connection = connections["default"]
    if not connection.in_atomic_block or connection.needs_rollback or connection.connection is None:
        return True
    status = connection.connection.info.transaction_status
    return bool(status == status.INERROR or status == status.UNKNOWN)
