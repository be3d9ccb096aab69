"""Number the events, put them into their tenants' trees and sign what these hold.

An event is written with its effect and has no number yet: a number given inside the transaction would
make every writer of a tenant wait for the one before. Here events are taken in the order of the transactions
that wrote them, and only of those before which every other has ended: what is taken is complete, and no
number is ever left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.utils import timezone

from ambit.audit.checkpoints import Signer
from ambit.audit.entries import entry_of, origin_of
from ambit.audit.tree import grown, root_of
from tenants.ids import uuid7

logger = logging.getLogger(__name__)

SEQUENCER = "sequencer"
# Levels of subtrees that are kept; those between follow from at most 256 of the level below.
KEPT_EVERY = 8
TAKEN_AT_ONCE = 1000
ADVISORY_LOCK = 0x616D626974_61

_EVENTS = """
SELECT xact, tenant_id, id, at, action, actor_kind, counts,
       actor_id, member_id, request_id, who_salt, object_id, document_ids, chunk_ids, what_salt
FROM tenants_auditevent e
WHERE {taken} AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.tenant_id = e.tenant_id AND l.id = e.id)
ORDER BY xact, id LIMIT %(limit)s
"""
_NEW = _EVENTS.format(
    taken="(xact, id) > (%(xact)s::xid8, %(event)s) AND xact < %(xmin)s::xid8",
)
# After a restore from a dump Postgres counts its transactions anew: what it has not begun yet was before.
_OLD_AND_NEW = _EVENTS.format(taken="(xact < %(xmin)s::xid8 OR xact >= %(xmax)s::xid8)")
_HORIZON = """
SELECT xact::text, event_id, pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text,
       xact >= pg_snapshot_xmax(s)
FROM audit_watermark, pg_current_snapshot() AS s WHERE task = 'number'
"""
_LOG = """
SELECT size, frontier,
       (SELECT ARRAY[at, newest] FROM audit_checkpoint c WHERE c.tenant_id = l.tenant_id
        ORDER BY size DESC LIMIT 1)
FROM audit_log l WHERE tenant_id = %s FOR UPDATE
"""
_LEAVES = """
INSERT INTO audit_leaf (tenant_id, id, number, hash, who, what)
SELECT %s, * FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[])
"""
_SUBTREES = """
INSERT INTO audit_subtree (tenant_id, id, level, index, hash)
SELECT %s, * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[], %s::bytea[])
"""
_GROWN = """
INSERT INTO audit_log (tenant_id, id, size, frontier, copied_size, stored_size, let_go_size)
VALUES (%(tenant)s, %(tenant)s, %(size)s, %(frontier)s, 0, 0, 0)
ON CONFLICT (tenant_id, id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier
"""
_SIGNED = """
INSERT INTO audit_checkpoint (tenant_id, id, size, root, at, newest, note)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_TAKEN = "UPDATE audit_watermark SET xact = %s::xid8, event_id = %s WHERE task = 'number'"
_BEGUN_AGAIN = "UPDATE audit_watermark SET xact = '0' WHERE task = 'erase'"
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What a run did."""

    n_events: int
    n_checkpoints: int


def sequence_events(signer: Signer) -> Sequenced:
    """Give numbers to all events that are complete, a thousand at a time, and sign each tenant's tree.

    Several may run at once: one works, the others do nothing.
    """
    n_events = n_checkpoints = 0
    while True:
        done = _sequence_some(signer)
        n_events, n_checkpoints = n_events + done.n_events, n_checkpoints + done.n_checkpoints
        if done.n_events < TAKEN_AT_ONCE:
            return Sequenced(n_events, n_checkpoints)


def _sequence_some(signer: Signer) -> Sequenced:
    with _alone() as cursor:
        if cursor is None:
            return Sequenced(0, 0)
        cursor.execute(_HORIZON)
        xact, event_id, xmin, xmax, restored = cursor.fetchone()
        known = {"xact": xact, "event": event_id, "xmin": xmin, "xmax": xmax}
        events = _read(cursor, _OLD_AND_NEW if restored else _NEW, known)
        n_checkpoints = _grow_all(cursor, events, signer)
        if not restored and events:
            cursor.execute(_TAKEN, [events[-1]["xact"], events[-1]["id"]])
        elif restored and len(events) < TAKEN_AT_ONCE:
            cursor.execute(_TAKEN, [xmin, NOBODY])
            cursor.execute(_BEGUN_AGAIN)
    return Sequenced(len(events), n_checkpoints)


@contextmanager
def _alone() -> Iterator[Any]:
    with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        (is_alone,) = cursor.fetchone()
        # How a reference is checked is planned once a connection: while the trail is short, by any index that begins
        # with the tenant, and later each check would read all the tenant's events.
        cursor.execute("DISCARD PLANS")
        yield cursor if is_alone else None


def _read(cursor: Any, statement: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    cursor.execute(statement, known | {"limit": TAKEN_AT_ONCE})
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _grow_all(cursor: Any, events: Sequence[dict[str, Any]], signer: Signer) -> int:
    at = timezone.now()
    tenants = groupby(sorted(events, key=_tenant_of), _tenant_of)
    n_logs = 0
    for n_logs, (tenant_id, own) in enumerate(tenants, start=1):  # noqa: B007 - counted to the last
        _grow(cursor, tenant_id, list(own), signer=signer, at=at)
    return n_logs


def _tenant_of(event: dict[str, Any]) -> UUID:
    tenant_id: UUID = event["tenant_id"]
    return tenant_id


def _grow(
    cursor: Any, tenant_id: UUID, events: Sequence[dict[str, Any]], *, signer: Signer, at: datetime
) -> None:
    cursor.execute(_LOG, [tenant_id])
    size, frontier, before = cursor.fetchone() or (0, [], None)
    frontier = [bytes(one) for one in frontier]
    leaves: list[tuple[UUID, int, bytes, bytes, bytes]] = []
    subtrees: list[tuple[UUID, int, int, bytes]] = []
    for event in events:
        entry = entry_of(event, number=size)
        frontier, completed = grown(frontier, size, entry.hash)
        leaves.append((event["id"], size, entry.hash, entry.who, entry.what))
        subtrees += [
            (uuid7(), level, size >> level, completed[level])
            for level in range(KEPT_EVERY, len(completed), KEPT_EVERY)
        ]
        size += 1
    cursor.execute(_LEAVES, [tenant_id, *_columns(leaves, 5)])
    cursor.execute(_SUBTREES, [tenant_id, *_columns(subtrees, 4)])
    cursor.execute(_GROWN, {"tenant": tenant_id, "size": size, "frontier": frontier})
    root = root_of(frontier)
    newest = max(event["at"] for event in events)
    # A clock that was put back does not make a later checkpoint look earlier.
    at, newest = max(at, before[0]) if before else at, max(newest, before[1]) if before else newest
    note = signer.sign(origin=origin_of(tenant_id), size=size, root=root, at=at, newest=newest)
    cursor.execute(_SIGNED, [tenant_id, uuid7(), size, root, at, newest, note])


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[at] for row in rows] for at in range(width)]
