"""The real vLLM server of these tests, started once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from ambit.inference import vllm
from ambit.inference.replicas import forget_circuits
from tests.vllm import environment
from tests.vllm.server import Relay, VllmServer, running_server
from tests.vllm.serving import Served
from tests.vllm.world import World, running_world

HERE = Path(__file__).parent
ADAPTERS = HERE / "tiny_adapters.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and "vllm_server" in _fixtures(item):
            item.add_marker(pytest.mark.vllm)
            # The first test waits for the server's start.
            item.add_marker(pytest.mark.timeout(900))
    # After pytest-randomly: a second server would double the time of all of this.
    items.sort(key=lambda item: "doomed_server" in _fixtures(item))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(autouse=True)
def quick_and_forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait little between two tries, and carry no replica's failures into the next test."""
    monkeypatch.setattr(vllm, "RETRY_AFTER_S", (0.1, 0.2))
    forget_circuits()
    yield
    forget_circuits()


@pytest.fixture
def served(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Return what starts servers that answer by script, and names them in the settings."""
    monkeypatch.setattr(vllm, "RETRY_AFTER_S", (0.0, 0.01))
    servers = Served(settings)
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def vllm_environment() -> None:
    if environment.is_ready():
        return
    if os.environ.get("AMBIT_VLLM_REQUIRED"):
        pytest.fail("the vLLM environment is not ready: run python -m tests.vllm.environment")
    pytest.skip("the vLLM environment is absent or of older files; `make test-vllm` makes it")


@pytest.fixture(scope="session")
def vllm_server(
    vllm_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    """Yield a server with its url, key and model; do not stop it."""
    with running_server(tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture
def doomed_server(vllm_server: VllmServer) -> VllmServer:
    """Return the session's server to the one test that kills it, which runs last."""
    assert vllm_server.process.poll() is None, "another test has killed the server"
    return vllm_server


@pytest.fixture
def configured(settings: Settings, vllm_server: VllmServer) -> VllmServer:
    """Point the settings at the server."""
    settings.AMBIT_VLLM_URL = settings.AMBIT_VLLM_ADMIN_URL = vllm_server.url
    settings.AMBIT_VLLM_KEY = settings.AMBIT_VLLM_ADMIN_KEY = vllm_server.key
    settings.AMBIT_VLLM_MODEL = vllm_server.model
    return vllm_server


@pytest.fixture
def relay(settings: Settings, configured: VllmServer) -> Iterator[Relay]:
    """Point the settings at a recording relay before the server."""
    relay = Relay(configured.url)
    settings.AMBIT_VLLM_URL = relay.url
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def world(vllm_server: VllmServer) -> Iterator[World]:
    """Yield an Ambit that speaks to the server; what a test takes away it puts back."""
    with running_world(vllm_server) as world:
        yield world


@pytest.fixture(scope="session")
def peft_files(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the adapters a and b as peft saves them."""
    folder = tmp_path_factory.mktemp("peft")
    command = [str(environment.python()), str(ADAPTERS), str(environment.model_dir()), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder
