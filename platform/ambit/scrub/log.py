"""Postgres' write-ahead log: what it held of destroyed rows goes with its old segments."""

from __future__ import annotations

from typing import Any

from ambit.scrub.blocked import ScrubBlocked

_NEWEST = """
SELECT pg_walfile_name(pg_current_wal_insert_lsn()), max(name)
FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
"""
_OLDEST = """
SELECT pg_current_wal_insert_lsn()::text, min(name)
FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
"""


def pass_log(cursor: Any, *, since: str = "") -> str:
    """Go on to a new segment of the log and have all older ones removed; return the new position.

    A checkpoint may have given old segments the names of future ones, unwiped, where wal_recycle is on:
    those are gone through too. since: the segment that a try before left behind, which need only go now.
    Raises ScrubBlocked where Postgres keeps old segments for somebody.
    """
    cursor.execute("CHECKPOINT")
    before = since or _go_on(cursor)
    cursor.execute(_OLDEST)
    position, oldest = cursor.fetchone()
    if oldest <= before:
        raise ScrubBlocked("log", segment=before)
    cursor.execute("SHOW wal_recycle")
    if cursor.fetchone()[0] == "on":
        # What was left behind, now or by a try before, has got a future name itself.
        _go_on(cursor)
    return str(position)


def _go_on(cursor: Any) -> str:
    """Write past every segment there is, and have the old ones removed; return the one left behind."""
    cursor.execute(_NEWEST)
    before, last = cursor.fetchone()
    while _segment(cursor) <= last:
        # A switch does nothing where nothing was written since the one before.
        cursor.execute("SELECT pg_logical_emit_message(false, 'ambit', '')")
        cursor.execute("SELECT pg_switch_wal()")
    cursor.execute("CHECKPOINT")
    return str(before)


def _segment(cursor: Any) -> str:
    cursor.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    (name,) = cursor.fetchone()
    return str(name)
