"""Real Postgres with committed rows; every test makes tenants of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ambit.config.runtime.supervisor import Stack
from ambit.config.settings import EMBEDDED
from tests.database.private import PrivateDatabase, private_database, superuser_url
from tests.database.readers import Begin, Desk, beside, broken_promises, make_desk


@pytest.fixture(scope="session", autouse=True)
def _database(session_stack: Stack) -> None:
    """Have the session's Postgres, migrated, for every test here."""


@pytest.fixture(scope="session")
def private(request: pytest.FixtureRequest, _database: None) -> PrivateDatabase:
    """Return a database that may be broken."""
    return private_database(request.config)


@pytest.fixture
def bare(private: PrivateDatabase) -> Iterator[PrivateDatabase]:
    """Use the private database as if it were the application's."""
    with private.in_use():
        yield private


@pytest.fixture
def superuser(_database: None) -> Iterator[psycopg.Connection]:
    """Connect to the session's database as its superuser, to look and never to change."""
    with psycopg.connect(superuser_url(EMBEDDED), autocommit=True) as connection:
        yield connection


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Return a fresh tenant, whose audiences must be in order in the end."""
    made = make_desk()
    yield made
    assert broken_promises(made.tenant_id) == []


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return what does something in a transaction of another session."""
    with beside() as found:
        yield found
