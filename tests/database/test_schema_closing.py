"""What Postgres enforces about a tenant that ends, read from its catalogue and tried."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError, connection
from psycopg import sql

from ambit.erasure.places import STAYS, tables
from tenants.scope import audience_scope, tenant_scope
from tests.database.offboardings import begin, full_town, rows_by_table, work_to_the_end
from tests.database.test_schema import DELETED_ONCE_CLOSING, PROOFS, _rows, _tenant_tables


def test_what_is_kept_otherwise_is_deleted_with_a_tenant_that_ends_alone() -> None:
    guarded = _rows(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'keep_until_closing'"
        " AND tgenabled = 'O' AND tgtype = 11"
    )

    assert {table for (table,) in guarded} == DELETED_ONCE_CLOSING


def test_every_table_that_ends_with_its_tenant_takes_no_row_of_one_that_is_closing() -> None:
    refusing = {
        table
        for (table,) in _rows(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'refuse_closing'"
            " AND tgenabled = 'O' AND tgtype = 7"
        )
    }
    # Where a column may be null, a row could belong to nobody.
    references: dict[str, set[str]] = {}
    for table, target in _rows(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
        " WHERE contype = 'f' AND confrelid <> 'tenants_tenant'::regclass AND NOT EXISTS ("
        "   SELECT 1 FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)"
        "   AND NOT attnotnull)"
    ):
        references.setdefault(table, set()).add(target)
    # A grant is on a collection or a document: one of two columns.
    references["access_grant"] = {"access_collection"}

    def is_refused(table: str) -> bool:
        return table in refusing or any(is_refused(t) for t in references.get(table, set()))

    assert {t for t in _tenant_tables() if not is_refused(t)} == PROOFS | {"tenants_auditevent"}
    # These stay, so that a row could still be added to one that was there before.
    assert {"erasure_pendingrequest", "export_export"} <= refusing


def test_such_a_row_is_kept_while_its_tenant_is_there(superuser: psycopg.Connection) -> None:
    town = full_town()
    before = rows_by_table(superuser, town.tenant_id)

    assert set(before) >= DELETED_ONCE_CLOSING
    for table in DELETED_ONCE_CLOSING:
        with (
            pytest.raises(DatabaseError, match="kept until its tenant"),
            tenant_scope(town.tenant_id, custody=True),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [town.tenant_id])  # noqa: S608 - fixed names
    assert rows_by_table(superuser, town.tenant_id) == before


def test_no_row_of_a_tenant_that_has_ended_comes_back(superuser: psycopg.Connection) -> None:
    town = full_town()
    rows = {table: _row(superuser, table, town.tenant_id) for table in tables()}
    assert all(rows.values()), "each table has a row to bring back"

    begin(town.tenant_id)
    work_to_the_end(town.tenant_id)

    for table, row in rows.items():
        audience = row.get("audience_id") if row else None
        with (
            pytest.raises(DatabaseError, match=r"takes no new row|violates foreign key"),
            tenant_scope(town.tenant_id, custody=True),
            audience_scope([UUID(audience)] if audience else []),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, %s::jsonb)).*",
                [json.dumps(row)],
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert set(rows_by_table(superuser, town.tenant_id)) <= set(STAYS)


def _row(superuser: psycopg.Connection, table: str, tenant_id: UUID) -> dict[str, Any]:
    statement = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE tenant_id = %s LIMIT 1")
    found = superuser.execute(statement.format(sql.Identifier(table)), [tenant_id]).fetchone()
    row: dict[str, Any] = found[0] if found else {}
    return row
