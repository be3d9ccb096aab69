"""The real embedding service on a Unix socket of its own, once for the session."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_django import Settings

from ambit.inference.embedding import close_clients
from ambit.inference.http import open_client

ROOT = Path(__file__).parents[2]
START_S = 120


@dataclass(frozen=True)
class Service:
    """A running embedding service."""

    process: subprocess.Popen[bytes]
    socket: Path
    log: Path

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"


def start(folder: Path, *arguments: str, **environment: str) -> Service:
    """Start a service without waiting for it."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ambit.inference.server", *arguments],
            cwd=ROOT,
            env={**os.environ, "AMBIT_EMBED_KEY": "", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Service(process, folder / "embed.sock", log)


def wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + START_S
    while "embed.ready" not in service.log.read_text():
        if service.process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(service.log.read_text())
        time.sleep(0.1)
    with open_client(url=service.url) as client:
        assert client.get("/health").status_code == 200


@pytest.fixture(scope="session")
def running() -> Iterator[Service]:
    # Not pytest's own folder: its path can be too long for a Unix socket.
    with TemporaryDirectory(prefix="ambit-embed-") as folder:
        service = start(Path(folder), "--socket", f"{folder}/embed.sock")
        try:
            wait_until_ready(service)
            yield service
        finally:
            service.process.terminate()
            service.process.wait(timeout=20)


@pytest.fixture
def embedder(running: Service, settings: Settings) -> Iterator[Service]:
    settings.AMBIT_EMBED_URL = running.url
    settings.AMBIT_EMBED_KEY = ""
    yield running
    close_clients()
