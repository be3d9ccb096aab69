"""Statements that each request sends: planned once a connection, not each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor


def run_prepared(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return a statement's rows, from a plan that the connection keeps.

    Values are sent beside the statement, so that Postgres plans it without them: a plan that is right
    for all tenants, and for none in particular.
    """
    connection.ensure_connection()
    # Django's own cursors put the values into the text, which cannot be prepared.
    with CursorWrapper(Cursor(connection.connection), connection) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
