"""Rows of a whole tenant, by table: counted, deleted in bounded parts, and looked for again through the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import connection

from ambit.corpus.holdings import every_audience
from ambit.erasure.ending import Ending
from tenants.scope import audience_scope

ROWS_AT_ONCE = 1000
DOCUMENTS_AT_ONCE = 200
# Deleted with their documents, what opens ciphertext first, and each before what it points at.
PARTS = (
    "corpus_documentkey",
    "corpus_chunkvector",
    "corpus_chunklexemes",
    "corpus_chunk",
    "corpus_mention",
    "corpus_subject",
    "corpus_version",
    "access_grant",
)
_COUNT = "SELECT count(*) FROM {table} WHERE tenant_id = %s"
_DELETE = """
DELETE FROM {table} WHERE tenant_id = %(tenant)s AND id IN (
    SELECT id FROM {table} WHERE tenant_id = %(tenant)s AND id <> %(but)s LIMIT %(limit)s)
"""
_DOCUMENTS = "SELECT id, audience_id FROM corpus_document WHERE tenant_id = %s ORDER BY id LIMIT %s"
_DELETE_PARTS = "DELETE FROM {table} WHERE tenant_id = %s AND document_id = ANY (%s)"
_DELETE_DOCUMENTS = "DELETE FROM corpus_document WHERE tenant_id = %s AND id = ANY (%s)"
# Compared as text, so that every row is read and no index that found them is trusted.
_LEFT = "SELECT count(*) FROM {table} WHERE tenant_id::text = %s"
_TABLES = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = 'tenant_id'
"""
_BOUND = """
SELECT count(*) FROM pg_constraint
WHERE contype = 'f' AND convalidated AND conrelid = %s::regclass AND confrelid = 'corpus_document'::regclass
  AND NOT EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = conrelid AND a.attnum = ANY (conkey) AND NOT a.attnotnull)
"""
_NONE = UUID(int=0)


class TableMissing(LookupError):
    """A table of tenants is not in the database's catalogue: nothing is known of what is in it."""


def count(table: str, over: Ending, *, of_readers: bool = False) -> int:
    """Return how many rows a tenant has in a table; of_readers: in the reach of all its readers together."""
    if not of_readers:
        return _number(_COUNT.format(table=table), over.tenant_id)
    with every_audience():
        return _number(_COUNT.format(table=table), over.tenant_id)


def delete(table: str, over: Ending, *, but: UUID = _NONE) -> int:
    """Delete up to a thousand rows of a tenant, all but one if it is named; return how many there were."""
    values = {"tenant": over.tenant_id, "but": but, "limit": ROWS_AT_ONCE}
    return _changed(_DELETE.format(table=table), values)


def delete_documents(over: Ending) -> dict[str, int]:
    """Delete up to two hundred documents with all their parts; return how many rows of each table there were."""
    with connection.cursor() as cursor:
        cursor.execute(_DOCUMENTS, [over.tenant_id, DOCUMENTS_AT_ONCE])
        documents = dict(cursor.fetchall())
    if not documents:
        return {}
    ids = list(documents)
    with audience_scope(set(documents.values())):
        gone = {
            table: _changed(_DELETE_PARTS.format(table=table), [over.tenant_id, ids])
            for table in PARTS
        }
    gone["corpus_document"] = _changed(_DELETE_DOCUMENTS, [over.tenant_id, ids])
    return gone


def count_left(table: str, over: Ending) -> int:
    """Return how many rows of a tenant a table has, each row read; raise TableMissing."""
    if table not in _catalogue():
        raise TableMissing(table)
    return _number(_LEFT.format(table=table), str(over.tenant_id))


def count_unbound(table: str, over: Ending) -> int:
    """Return how many documents there are whose passages could be left in a table that only readers see.

    Where Postgres does not enforce that each row belongs to a document, nothing is known: then 1.
    """
    if not _number(_BOUND, table):
        return 1
    return count_left("corpus_document", over)


def count_elsewhere(known: Collection[str], over: Ending) -> int:
    """Return how many rows a tenant has in tables that are not among these."""
    others = sorted(_catalogue() - set(known))
    return sum(_number(_LEFT.format(table=table), str(over.tenant_id)) for table in others)


def _catalogue() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return {table for (table,) in cursor.fetchall()}


def _number(statement: str, value: UUID | str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, [value])
        (n,) = cursor.fetchone()
    return int(n)


def _changed(statement: str, values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
