"""Scrub: mark → rewrite the tables → pass the log.

Done by a login that may rewrite every table and read none. What a killed scrub had done stays done:
the catalogue says which tables are left, and no note of ours is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections

from ambit.scrub.blocked import ScrubBlocked
from ambit.scrub.log import pass_log
from ambit.scrub.pages import Mark, old_pages, require_free, rewrite

SCRUBBER = "scrubber"
ADVISORY_LOCK = 0x616D626974_73


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub can show for itself."""

    # Every segment of the log before this position is gone.
    log_position: str
    n_tables: int


def scrub(
    mark: Mark,
    *,
    since: str = "",
    may_begin: Callable[[], None] = lambda: None,
    make_way: Callable[[str], None] = lambda _table: None,
) -> Scrubbed:
    """Overwrite what was destroyed by the mark, in tables, indexes and log; raise ScrubBlocked.

    Tables that another scrub has written anew since are left as they are. since: the segment
    of the log that a try before left behind. may_begin: called before the first table is written, where one has to
    be; it may raise ScrubBlocked. make_way: called with each table once it is free, before it is written.
    """
    with _alone() as cursor:
        old = old_pages(mark, cursor)
        if old:
            may_begin()
        for table in old:
            require_free(table, cursor)
            make_way(table)
            rewrite(mark, table, cursor)
        # What was rewritten only now may be in later segments than were left behind before.
        position = pass_log(cursor, since="" if old else since)
        return Scrubbed(log_position=position, n_tables=len(mark.files))


@contextmanager
def _alone() -> Iterator[Any]:
    if SCRUBBER not in connections.settings:
        raise ScrubBlocked("login")
    with connections[SCRUBBER].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        if not cursor.fetchone()[0]:
            raise ScrubBlocked("busy")
        try:
            yield cursor
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
