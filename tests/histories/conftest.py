"""Histories run in the private database: a session's real workers would take their jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database.conftest import _database, private
from tests.database.private import PrivateDatabase

__all__ = ["_database", "private"]


@pytest.fixture
def apart(private: PrivateDatabase) -> Iterator[PrivateDatabase]:
    """Work in the private database."""
    with private.in_use():
        yield private
