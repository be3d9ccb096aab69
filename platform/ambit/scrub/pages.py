"""The pages of tables: what may still hold rows that were destroyed, and writing it anew.

VACUUM leaves the bytes of dead rows in the holes of pages, and all words in a GIN index. VACUUM FULL
writes the rows that live into new files, indexes too, and Postgres removes the old ones. It takes a
dead row along while anybody may still see it, so that afterwards the table is asked how old what it
knows of is (pg_class.relfrozenxid, which VACUUM FULL sets to the oldest transaction in sight).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, ProgrammingError, connection, transaction

from ambit.scrub.blocked import Reason, ScrubBlocked

# So long a table's readers wait behind a rewriting that itself waits for one of them.
LOCK_TIMEOUT = "3s"
# Indexes, vector graphs above all, are built quickly while they fit into this.
BUILD_MEMORY = "512MB"
# Postgres' classes of errors after which another try may go well.
_REASONS: dict[str, Reason] = {
    "55P03": "lock",
    "57014": "lock",
    "40P01": "lock",
    "53100": "disk",
    "42501": "login",
}

_NOTE = """
SELECT pg_current_xact_id()::text::bigint,
       (SELECT json_object_agg(relname, relfilenode::bigint) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%s))
"""
_FILES = """
SELECT json_object_agg(relname, relfilenode::bigint) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%s)
"""
# Tables still in the file they were in, or in which a row destroyed by then may have been kept.
_OLD = """
SELECT c.relname
FROM json_each_text(%(files)s::json) AS noted (name, file)
JOIN pg_class c ON c.relname = noted.name AND c.relnamespace = 'public'::regnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relfilenode = noted.file::oid
   OR age(c.relfrozenxid) >= age(%(xid)s::text::xid8::xid)
   OR age(t.relfrozenxid) >= age(%(xid)s::text::xid8::xid)
ORDER BY pg_table_size(c.oid), c.relname
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which transaction had destroyed all that was to be, and in which files tables were then."""

    xid: int
    files: dict[str, int] = field(default_factory=dict)


def mark_pages(tables: Iterable[str]) -> Mark:
    """Return the mark of this transaction: whoever destroyed rows before it has committed."""
    names = sorted(tables)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [names])
        xid, files = cursor.fetchone()
    if sorted(files or {}) != names:
        raise LookupError(f"tables that are not there: {sorted(set(names) - set(files or {}))}")
    return Mark(xid, files)


def old_pages(mark: Mark, cursor: Any) -> list[str]:
    """Return the tables that may still hold what was destroyed by the mark, smallest first."""
    cursor.execute(_OLD, {"files": json.dumps(mark.files), "xid": mark.xid})
    return [name for (name,) in cursor.fetchall()]


def require_free(table: str, cursor: Any) -> None:
    """Take the lock that a rewriting takes, and give it back; raise ScrubBlocked where somebody holds the table.

    A rewriting cannot keep a lock that was taken before it. But what is taken away for its sake, such as a vector
    graph, is not taken away in vain each time somebody holds on to the table for long.
    """
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    with _blocked(), transaction.atomic(using=cursor.db.alias):
        # Names of tables take no parameters; this one was found in the catalogue.
        cursor.execute(f'LOCK TABLE public."{table}" IN ACCESS EXCLUSIVE MODE')


def rewrite(mark: Mark, table: str, cursor: Any) -> None:
    """Write a table anew; raise ScrubBlocked where that is not possible now, or in vain."""
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [BUILD_MEMORY])
    with _blocked():
        cursor.execute(f'VACUUM (FULL) public."{table}"')
    if table in old_pages(mark, cursor):
        raise ScrubBlocked("snapshot", files=_files([table], cursor))


@contextmanager
def _blocked() -> Iterator[None]:
    """Raise ScrubBlocked for what another try may not meet."""
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        reason = _REASONS.get(str(getattr(error.__cause__, "sqlstate", None)))
        if reason is None:
            raise
        raise ScrubBlocked(reason) from error


def _files(tables: list[str], cursor: Any) -> dict[str, int]:
    cursor.execute(_FILES, [tables])
    (files,) = cursor.fetchone()
    return dict(files or {})
