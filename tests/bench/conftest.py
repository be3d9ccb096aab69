"""Fixtures of the benchmarks that are run as tests."""

from tests.database.conftest import _database, private

__all__ = ["_database", "private"]
