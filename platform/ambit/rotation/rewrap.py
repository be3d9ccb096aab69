"""Wrap data keys anew, in the rows that are there: nothing is ever inserted, so nothing destroyed comes back.

Rows that somebody else is about to change or destroy are passed over and come in the next pass, so that an
upload or an erasure waits for one batch at most, and this waits for nobody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from ambit.keys.keyring import KeyUnavailable
from ambit.keys.sealing import VERSION_BYTES, CannotOpen, rewrap_data_key
from ambit.rotation.registry import WRAPPED, WrappedKey
from tenants.scope import current_tenant_id

BATCH_ROWS = 500
# Of a key that stands in front of what it sealed: how long it is.
LENGTH_BYTES = 2
NOTHING = UUID(int=0)

# The version of a wrapping key is the first of what it wrapped.
_FIND = """
SELECT id, {bound_to}, {column} FROM {table}
WHERE tenant_id = %(tenant)s AND id > %(after)s AND length({column}) > {least}
  AND substring({column} FROM {first} FOR 2) <> %(version)s
ORDER BY id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""
_WRITE = """
UPDATE {table} SET {column} = fresh.value
FROM unnest(%(ids)s::uuid[], %(values)s::bytea[]) AS fresh (id, value)
WHERE {table}.tenant_id = %(tenant)s AND {table}.id = fresh.id
"""
_COUNT = """
SELECT substring({column} FROM {first} FOR 2), count(*) FROM {table}
WHERE tenant_id = %(tenant)s AND length({column}) > {least} GROUP BY 1
"""
_NOW = "SELECT clock_timestamp()"
# Whoever writes wrapped keys has this login, and sees the login's own transactions alone.
_OLDER = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid() AND xact_start < %s
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a batch: rows wrapped anew, rows that do not open, and where to go on, if anywhere."""

    n_done: int
    n_unopened: int
    last_id: UUID | None


def rewrap_batch(place: WrappedKey, *, current: int, after: UUID = NOTHING) -> Batch:
    """Wrap a batch of rows behind an id by the current key, in custody and in the caller's transaction.

    Raises KeyUnavailable where the tenant's keys cannot be had at all.
    """
    tenant_id = current_tenant_id()
    rows = _ask(
        _FIND, place, after=after, version=_bytes(current), limit=BATCH_ROWS, tenant=tenant_id
    )
    fresh: dict[UUID, bytes] = {}
    for row_id, bound_to, value in rows:
        try:
            fresh[row_id] = _rewrapped(bytes(value), place, tenant_id, bound_to)
        except (CannotOpen, KeyUnavailable):
            # Altered, or its wrapping key is lost: counted, told, and left as it is.
            continue
    if fresh:
        ids, values = list(fresh), list(fresh.values())
        with connection.cursor() as cursor:
            cursor.execute(
                _WRITE.format(table=place.table, column=place.column),
                {"ids": ids, "values": values, "tenant": tenant_id},
            )
    return Batch(len(fresh), len(rows) - len(fresh), rows[-1][0] if rows else None)


def count_by_version() -> dict[int, int]:
    """Return how many data keys of the tenant in scope lie under each of its wrapping keys, in custody."""
    found: Counter[int] = Counter()
    for place in WRAPPED:
        for version, n in _ask(_COUNT, place, tenant=current_tenant_id()):
            found[int.from_bytes(bytes(version), "big")] += n
    return dict(found)


def database_time() -> datetime:
    """Return the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(_NOW)
        (now,) = cursor.fetchone()
    at: datetime = now
    return at


def count_older_transactions(moment: datetime) -> int:
    """Return how many of the application's transactions began before a moment and are still open."""
    with connection.cursor() as cursor:
        cursor.execute(_OLDER, [moment])
        (n,) = cursor.fetchone()
    return int(n)


def _rewrapped(value: bytes, place: WrappedKey, tenant_id: UUID, bound_to: UUID) -> bytes:
    if not place.leads:
        return rewrap_data_key(value, tenant_id=tenant_id, object_id=bound_to)
    end = LENGTH_BYTES + int.from_bytes(value[:LENGTH_BYTES], "big")
    key = rewrap_data_key(value[LENGTH_BYTES:end], tenant_id=tenant_id, object_id=bound_to)
    return len(key).to_bytes(LENGTH_BYTES, "big") + key + value[end:]


def _ask(statement: str, place: WrappedKey, **values: Any) -> list[tuple[Any, ...]]:
    skipped = LENGTH_BYTES if place.leads else 0
    with connection.cursor() as cursor:
        cursor.execute(
            statement.format(
                table=place.table,
                column=place.column,
                bound_to=place.bound_to,
                first=skipped + 1,
                least=skipped + VERSION_BYTES,
            ),
            values,
        )
        return list(cursor.fetchall())


def _bytes(version: int) -> bytes:
    return version.to_bytes(VERSION_BYTES, "big")
