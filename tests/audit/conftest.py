"""Real Postgres, one of it to break."""

from __future__ import annotations

from tests.database.conftest import _database, private

__all__ = ["_database", "private"]
