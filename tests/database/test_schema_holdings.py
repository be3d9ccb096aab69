"""Every column there is, with a model or without, is declared to erasure: read from Postgres' catalogue.

tests/architecture/test_holdings.py asks the models; a migration can add what no model knows of.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from ambit.erasure.registry import TABLES
from tests.database.private import PrivateDatabase

# Numbers, times, ids and switches say nothing by themselves; everything else can hold content.
HARMLESS = {
    "uuid", "smallint", "integer", "bigint", "boolean", "date", "xid8", "timestamp with time zone",
}  # fmt: skip
# Columns of no model that hold none, each with its reason.
WITHOUT_MODEL = {
    "tenants_auditevent.who_salt": "random; it goes with the values it hides",
    "tenants_auditevent.what_salt": "random; it goes with the values it hides",
    "erasure_tombstone.line_hash": "a hash of ids and keyed hashes, kept so that they stay gone",
    "erasure_tombstone.covers": "a hash of ids",
    "audit_watermark.task": "one of two words of ours",
}
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'f')
  AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
Column = tuple[str, str, str, str]


def undeclared(columns: Iterable[Column]) -> list[str]:
    """Return the columns that can hold content and of which erasure knows nothing."""
    found = []
    for schema, table, name, kind in columns:
        place = f"{table}.{name}" if schema == "public" else f"{schema}.{table}.{name}"
        declared = schema == "public" and table in TABLES and name in TABLES[table].content
        if kind not in HARMLESS and not declared and place not in WITHOUT_MODEL:
            found.append(f"{place} ({kind})")
    return sorted(found)


def test_every_column_of_the_database_is_declared(superuser: psycopg.Connection) -> None:
    columns = superuser.execute(_COLUMNS).fetchall()

    assert len(columns) > 100
    assert undeclared(columns) == [], (
        "Declare it in ambit/erasure/registry.py with the holding that destroys it, or here with its reason."
    )


def test_no_large_object_is_kept(superuser: psycopg.Connection) -> None:
    # They stand in no table of ours, and no holding would find them.
    assert superuser.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


def test_a_column_that_a_migration_plants_is_seen(private: PrivateDatabase) -> None:
    planted = (
        "CREATE SCHEMA hidden; CREATE TABLE hidden.cache (body text);"
        "ALTER TABLE corpus_chunk ADD COLUMN planted_bytes bytea, ADD COLUMN planted_json jsonb,"
        " ADD COLUMN planted_vector halfvec(3), ADD COLUMN planted_words text[];"
        "ALTER TABLE tenants_groupmember ADD COLUMN planted_note varchar(20)"
    )
    with private.superuser() as superuser, superuser.transaction(force_rollback=True):
        before = undeclared(superuser.execute(_COLUMNS).fetchall())
        superuser.execute(planted.encode())
        after = undeclared(superuser.execute(_COLUMNS).fetchall())

    assert sorted(set(after) - set(before)) == [
        "corpus_chunk.planted_bytes (bytea)",
        "corpus_chunk.planted_json (jsonb)",
        "corpus_chunk.planted_vector (halfvec)",
        "corpus_chunk.planted_words (text[])",
        "hidden.cache.body (text)",
        "tenants_groupmember.planted_note (character varying)",
    ]
