"""One Ambit for all tests of the flows: each makes tenants of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.service import Service, Tenant


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run an Ambit; tests that break a part of it mend it before they end."""
    running = Service(tmp_path_factory.mktemp("flows"))
    yield running
    running.stop()


@pytest.fixture
def tenant(service: Service) -> Tenant:
    """Make a tenant."""
    return service.tenant()
