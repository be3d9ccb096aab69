"""Write down, in a database that may be broken into, which transaction changed which tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

EVENTS, JOBS = "tenants_auditevent", "jobs_job"
# What a transaction may change without an event, each with its reason.
BOOKKEEPING = {
    JOBS: "leases and retries of work, whose outcome has its event",
    "tenants_idempotencykey": "the key is taken before what it is for, which has its event",
    "django_session": "a cookie's row",
    "ambit_admin_signinguess": "counts of wrong guesses, by keyed hash",
}
# Where a case stands; parts of its work are noted in erasure_erasureholding and told with the step's event.
STATES = {"erasure_erasure", "erasure_receipt", "erasure_restriction"}
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
# With the rights of who made it: the logins that write know nothing of the list.
_WATCH = """
CREATE SCHEMA watching;
CREATE TABLE watching.written (xact text NOT NULL, name text NOT NULL, PRIMARY KEY (xact, name));
CREATE FUNCTION watching.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = watching, pg_temp AS $$
BEGIN
    -- When a key was last used is no event.
    IF TG_TABLE_NAME = 'tenants_apikey' AND TG_OP = 'UPDATE' AND
       to_jsonb(NEW) - 'last_used_at' = to_jsonb(OLD) - 'last_used_at' THEN
        RETURN NULL;
    END IF;
    INSERT INTO watching.written VALUES (pg_current_xact_id()::text, TG_TABLE_NAME)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
_WATCH_TABLE = """
CREATE TRIGGER watching AFTER INSERT OR UPDATE OR DELETE ON {}
FOR EACH ROW EXECUTE FUNCTION watching.note()
"""
_WRITTEN = "DELETE FROM watching.written RETURNING xact, name"
Tables = set[str]


@dataclass(frozen=True)
class Watch:
    """The list of what was written."""

    connection: psycopg.Connection

    def taken(self) -> list[Tables]:
        """Return the tables of each transaction that was committed since the last time."""
        found: dict[str, Tables] = {}
        for xact, name in self.connection.execute(_WRITTEN).fetchall():
            found.setdefault(xact, set()).add(name)
        return list(found.values())


@contextmanager
def watched(superuser: psycopg.Connection) -> Iterator[Watch]:
    """Write down every change until the block ends; a change that is rolled back leaves nothing."""
    superuser.execute(_WATCH)
    try:
        for (table,) in superuser.execute(_TABLES).fetchall():
            superuser.execute(sql.SQL(_WATCH_TABLE).format(sql.Identifier(table)))
        yield Watch(superuser)
    finally:
        superuser.execute("DROP SCHEMA watching CASCADE")


def unrecorded(transactions: Sequence[Tables]) -> list[list[str]]:
    """Return the transactions of calls that changed more than bookkeeping and wrote no event."""
    changing = [tables for tables in transactions if EVENTS not in tables]
    return [sorted(tables) for tables in changing if tables - BOOKKEEPING.keys()]


def unrecorded_work(transactions: Sequence[Tables]) -> list[list[str]]:
    """Return the transactions of workers that change a case without an event, or record without their job."""
    return [
        sorted(tables)
        for tables in transactions
        if (EVENTS in tables and JOBS not in tables) or (EVENTS not in tables and tables & STATES)
    ]
