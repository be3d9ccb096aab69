"""What tests may ask for: a real Postgres and Redis, embeddings, workers, a web server, and the cast.

Nothing is mocked, rolled back or truncated: every test makes tenants of its own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from ambit.keys.signing import make_signing_key
from tests.cast import Cast, make_cast

# What a fixture's name needs running; all of it is one stack, started once in each process.
PARTS = {
    "embeddings": {"embed"},
    "workers": {"embed", "worker", "beat"},
    "server": {"embed", "web"},
}
# Folders whose tests share a whole Ambit, or a browser.
SHARED = ("flows", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a service, and begin with it, so that the processes end about together."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) not in SHARED)


def _group(item: pytest.Item) -> str:
    """Return what is run by one process: a file, or all that needs one more thing that is slow to start."""
    folder = item.path.parent.name
    return folder if folder in SHARED else f"{folder}/{item.path.name}"


@pytest.fixture(scope="session")
def session_stack(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[Stack]:
    """Run what the session's tests need on a data directory of its own."""
    if str(settings.AMBIT_DATA_DIR) != os.environ.get("AMBIT_TEST_DATA_DIR"):
        raise pytest.UsageError("tests run with DJANGO_SETTINGS_MODULE=tests.settings")
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    parts = {"postgres", "redis"}.union(*(needs for name, needs in PARTS.items() if name in asked))
    running = Stack(settings.EMBEDDED, port=free_port(), parts=parts)
    with running, django_db_blocker.unblock():
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        call_command("plant_canary", stdout=io.StringIO())
        # As keep_audit does at its start.
        make_signing_key()
        yield running
        for connection in connections.all(initialized_only=True):
            connection.close()
        connections["default"].close_pool()  # type: ignore[attr-defined]  # Postgres' own


@pytest.fixture
def database(session_stack: Stack) -> Stack:
    """Have Postgres, migrated, and Redis; the stack is everybody's: leave its parts running."""
    return session_stack


@pytest.fixture
def embeddings(session_stack: Stack) -> Stack:
    """Have the embedding service too."""
    return session_stack


@pytest.fixture
def workers(session_stack: Stack) -> Stack:
    """Have the embedding service and the Celery worker too."""
    return session_stack


@pytest.fixture
def server(session_stack: Stack) -> str:
    """Return the address of a real web server."""
    return session_stack.url


@pytest.fixture
def cast(database: Stack) -> Cast:
    """Return Alice, Bob, Carol, Mallory and the others, in two tenants of their own."""
    return make_cast()
