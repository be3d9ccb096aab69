"""The tenant a piece of work belongs to: in a context variable for code, in the transaction for Postgres.

Nothing here outlives its transaction: every setting is transaction-local, so a pooled connection
returns to the pool knowing nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from uuid import UUID

from django.db import connections, transaction

_current: ContextVar[UUID | None] = ContextVar("ambit_tenant", default=None)
# What the blocks around have set, to be set again when an inner block ends.
_set: ContextVar[Mapping[str, str]] = ContextVar("ambit_settings", default=MappingProxyType({}))

# Plans are made once a connection, without values, and what was a small table then may be large by now: what
# a tenant's transaction reads has an index by tenant, and a scan of a whole table would read everybody's.
_SET_LOCAL = """
SELECT set_config('ambit.' || name, value, true),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true)
FROM unnest(%s::text[], %s::text[]) AS told (name, value)
"""


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
    _tell({name: value}, using=using)


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
    settings = {"tenant_id": str(tenant_id)}
    if member_id is not None:
        settings["member_id"] = str(member_id)
    if custody:
        settings["custody"] = "on"
    # At the end of a transaction Postgres forgets by itself.
    connection = connections["default"]
    ends_with_transaction = connection.get_autocommit() and not connection.in_atomic_block
    with transaction.atomic():
        token = _current.set(tenant_id)
        try:
            with _set_until_the_end(settings, undo=not ends_with_transaction):
                yield
        finally:
            _current.reset(token)


@contextmanager
def custody_scope() -> Iterator[None]:
    """See the records of all the tenant's documents until the block ends; never a passage."""
    with _set_inside_a_scope("custody", "on"):
        yield


@contextmanager
def member_scope(member_id: UUID) -> Iterator[None]:
    """See and write what is one member's own, such as saved answers, until the block ends."""
    with _set_inside_a_scope("member_id", str(member_id)):
        yield


@contextmanager
def audience_scope(audience_ids: Iterable[UUID]) -> Iterator[None]:
    """See what these audiences may read until the block ends; none given, nothing is seen."""
    with _set_inside_a_scope("audience_ids", "{" + ",".join(str(a) for a in audience_ids) + "}"):
        yield


@contextmanager
def _set_inside_a_scope(name: str, value: str) -> Iterator[None]:
    current_tenant_id()
    with _set_until_the_end({name: value}, undo=True):
        yield


@contextmanager
def _set_until_the_end(settings: Mapping[str, str], *, undo: bool) -> Iterator[None]:
    before = _set.get()
    _tell(settings)
    token = _set.set({**before, **settings})
    try:
        yield
    finally:
        _set.reset(token)
        if undo and not _is_broken():
            _tell({name: before.get(name, "") for name in settings})


def _tell(settings: Mapping[str, str], *, using: str = "default") -> None:
    connection = connections[using]
    if not connection.in_atomic_block:
        raise NoTenantScope(f"{', '.join(settings)} may be set inside a transaction only")
    with connection.cursor() as cursor:
        cursor.execute(_SET_LOCAL, [list(settings), list(settings.values())])


def _is_broken() -> bool:
    """Say whether the transaction failed, so that its settings are rolled back by Postgres itself."""
    connection = connections["default"]
    if not connection.in_atomic_block or connection.needs_rollback or connection.connection is None:
        return True
    status = connection.connection.info.transaction_status
    return bool(status == status.INERROR or status == status.UNKNOWN)
