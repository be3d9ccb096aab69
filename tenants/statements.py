"""Statements that each request sends: planned once a connection, not each time; and how long they may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor


def run_prepared(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return a statement's rows, from a plan that the connection keeps.

    Values are sent beside the statement, so that Postgres plans it without them: a plan that is right
    for all tenants, and for none in particular.
    """
    connection.ensure_connection()
    with _keeping_plans(), CursorWrapper(Cursor(connection.connection), connection) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def give_up_after(limit_ms: int) -> None:
    """Let Postgres end whatever takes longer, for the rest of the transaction: a statement, or its wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{limit_ms}ms"])


@contextmanager
def _keeping_plans() -> Iterator[None]:
    """Let psycopg prepare statements in the block alone.

    Of Django's statements, which hold their values, it would remember the text as well.
    """
    client = connection.connection
    client.prepare_threshold = 0 if settings.AMBIT_PREPARED_STATEMENTS else None
    try:
        yield
    finally:
        client.prepare_threshold = None
