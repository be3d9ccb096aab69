"""Record who did what: one event in the transaction of its effect, or the effect does not happen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from tenants.models import AuditEvent
from tenants.scope import current_tenant_id

ActorKind = Literal["operator", "service", "member", "worker"]


class NoActor(RuntimeError):
    """Something was done by nobody; it is refused."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: id is a key's, account's or member's; member_id whom a service's key acts for."""

    kind: ActorKind
    id: UUID | None
    member_id: UUID | None = None
    request_id: UUID | None = None


_actor: ContextVar[Actor | None] = ContextVar("ambit_actor", default=None)
# How many events the block around has recorded.
_n_recorded: ContextVar[list[int]] = ContextVar("ambit_n_recorded")


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Let everything recorded in the block be done by this actor."""
    token, counted = _actor.set(actor), _n_recorded.set([0])
    try:
        yield
    finally:
        _actor.reset(token)
        _n_recorded.reset(counted)


def current_actor() -> Actor:
    """Return who acts; raise NoActor."""
    actor = _actor.get()
    if actor is None:
        raise NoActor("no actor is set; wrap the work in acting_as(actor)")
    return actor


def has_recorded() -> bool:
    """Say whether anything was recorded in the innermost block of acting_as() so far."""
    return _n_recorded.get([0])[0] > 0


def record(
    action: str,
    *,
    object_id: UUID | None = None,
    document_ids: Iterable[UUID] = (),
    chunk_ids: Iterable[UUID] = (),
    counts: dict[str, int] | None = None,
    using: str = "default",
    tenant_id: UUID | None = None,
) -> None:
    """Write one audit event in the caller's transaction: ids and counts, NEVER content."""
    actor = current_actor()
    AuditEvent(
        tenant_id=tenant_id or current_tenant_id(),
        actor_kind=actor.kind,
        actor_id=actor.id,
        member_id=actor.member_id,
        request_id=actor.request_id,
        action=action,
        object_id=object_id,
        document_ids=list(document_ids),
        chunk_ids=list(chunk_ids),
        counts=counts or {},
    ).save(using=using, force_insert=True)
    _n_recorded.get([0])[0] += 1
