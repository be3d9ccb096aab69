"""Mallory tries every table and every route, on real Postgres with committed rows."""

from __future__ import annotations

from tests.database.conftest import _database, private, superuser

__all__ = ["_database", "private", "superuser"]
