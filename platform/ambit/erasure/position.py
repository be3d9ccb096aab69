"""Where the database stands: the end of its write-ahead log, and the oldest transaction that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection


@dataclass(frozen=True, slots=True)
class Position:
    """A moment of the database, by its own clock."""

    at: datetime
    # As Postgres writes it: two hexadecimal numbers.
    wal: str
    # The number of the oldest transaction that had not ended; what ended before is seen by everybody.
    oldest_transaction: int


def read_position() -> Position:
    """Return where the database stands now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT clock_timestamp(), pg_current_wal_lsn()::text,"
            " pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
        at, wal, oldest = cursor.fetchone()
    return Position(at, wal, int(oldest))
