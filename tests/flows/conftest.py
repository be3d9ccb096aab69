"""One Ambit for all tests of the flows: each makes tenants of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.service import Service, Tenant


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """Run an Ambit; tests that break a part of it mend it before they end."""
    # Not pytest's folder: another run of pytest closes that to the account Postgres runs as.
    with tempfile.TemporaryDirectory(prefix="ambit-flows-") as folder:
        running = Service(Path(folder) / "data")
        yield running
        running.stop()


@pytest.fixture
def tenant(service: Service) -> Tenant:
    """Make a tenant."""
    return service.tenant()
