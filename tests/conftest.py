"""What tests may ask for: a real Postgres and Redis, embeddings, workers, a web server, and the cast.

Nothing is mocked, rolled back or truncated: every test makes tenants of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from ambit.keys.signing import make_signing_key
from tests.cast import Cast, make_cast

# What a fixture's name needs running, beside Postgres and Redis.
PARTS = {
    "embeddings": {"embed"},
    "workers": {"embed", "worker", "beat"},
    "server": {"embed", "web"},
}
# What a fixture's name makes a file share with others: one process runs them all, and starts it once.
SHARED = {"service": "an Ambit of the flows", **dict.fromkeys(PARTS, "running parts")}
LONGEST_IN_A_NAME = 60
STACK = pytest.StashKey[Stack]()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes and long texts by their place: what a file holds, the time in it too, is nobody's name.

    Processes that collect at different moments must find the same tests.
    """
    is_long = isinstance(val, str) and len(val) > LONGEST_IN_A_NAME
    return argname if is_long or isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Keep together what shares a service, and begin with it, so that the processes end about together."""
    shared = {item.path: SHARED[name] for item in items for name in _fixtures(item) & SHARED.keys()}
    for item in items:
        group = shared.get(item.path, f"{item.path.parent.name}/{item.path.name}")
        item.add_marker(pytest.mark.xdist_group(group))
    # Meanwhile others mix the order up, and read the groups.
    yield
    if config.getoption("loadgroup", default=False) and not all(
        "@" in item.nodeid for item in items
    ):
        raise pytest.UsageError(
            "pytest-xdist did not read the groups: each test would run anywhere"
        )
    items.sort(key=lambda item: item.path not in shared)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop what ran for a group when it is over: other tests' jobs are not for its worker."""
    stack = item.config.stash.get(STACK, None)
    if stack is not None and nextitem is not None and _group(item) != _group(nextitem):
        for name in set().union(*PARTS.values()):
            stack.stop_part(name)


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def session_stack(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[Stack]:
    """Run a database and Redis on a data directory of the session's own; other parts as they are asked for."""
    if str(settings.AMBIT_DATA_DIR) != os.environ.get("AMBIT_TEST_DATA_DIR"):
        raise pytest.UsageError("tests run with DJANGO_SETTINGS_MODULE=tests.settings")
    idle = set().union(*PARTS.values())
    running = Stack(
        settings.EMBEDDED, port=free_port(), parts={"postgres", "redis", *idle}, idle=idle
    )
    with running, django_db_blocker.unblock():
        # As keep_audit does at its start.
        make_signing_key()
        request.config.stash[STACK] = running
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
    return _with(session_stack, "embeddings")


@pytest.fixture
def workers(session_stack: Stack) -> Stack:
    """Have the embedding service and the Celery worker too."""
    return _with(session_stack, "workers")


@pytest.fixture
def server(session_stack: Stack) -> str:
    """Return the address of a real web server."""
    return _with(session_stack, "server").url


def _with(stack: Stack, fixture: str) -> Stack:
    for name in sorted(PARTS[fixture]):
        if not stack.runs(name):
            stack.restart_part(name)
    return stack


@pytest.fixture
def cast(database: Stack) -> Cast:
    """Return Alice, Bob, Carol, Mallory and the others, in two tenants of their own."""
    return make_cast()
