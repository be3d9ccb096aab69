"""One data directory for the runtime's tests: making a database cluster takes seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ambit.config.embedded import Embedded
from ambit.config.runtime.supervisor import Stack
from tests.runtime.serving import Serving


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """Return a data directory whose database exists; every test finds and leaves it stopped."""
    # Not pytest's folder: another run of pytest closes that to the account Postgres runs as.
    with tempfile.TemporaryDirectory(prefix="ambit-runtime-") as folder:
        made = Embedded(Path(folder).resolve() / "data")
        stack = Stack(made, port=1, parts={"postgres", "redis"})
        stack.start()
        stack.stop()
        yield made


@pytest.fixture
def serve(embedded: Embedded) -> Iterator[Callable[[], Serving]]:
    """Start supervisors that do not outlive the test."""
    started: list[Serving] = []

    def start(data_dir: Path = embedded.data_dir) -> Serving:
        started.append(Serving(data_dir))
        return started[-1]

    yield start
    for serving in started:
        serving.end()


@pytest.fixture
def stack(embedded: Embedded) -> Iterator[Stack]:
    """Run Postgres and Redis under a supervisor in this process."""
    with Stack(embedded, port=1, parts={"postgres", "redis"}) as running:
        yield running
