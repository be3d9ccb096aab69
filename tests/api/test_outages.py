"""What happens when the client, the model or the database goes away in the middle."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from tests.cast import Cast, publish

ROOT = Path(__file__).resolve().parents[2]
QUESTION = {"question": "How many days of annual leave do employees get?"}
TEXT = {"query": "annual leave", "mode": "text"}


@contextmanager
def web_server(**env: str) -> Iterator[int]:
    """Run a web server of our own on the session's data directory."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "ambit.config.asgi:application",
        "--port",
        str(port),
    ]
    everything = {**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings", **env}
    with subprocess.Popen(
        command, cwd=ROOT, env=everything, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_until_it_listens(port)
            yield port
        finally:
            process.terminate()


def _wait_until_it_listens(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(port)


def test_a_client_that_goes_away_takes_the_models_work_along(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)
    body = json.dumps(QUESTION).encode()
    request = (
        f"POST /v1/answers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {cast.alice.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    with socket.create_server(("127.0.0.1", 0)) as model:
        model.settimeout(60)
        url = f"http://127.0.0.1:{model.getsockname()[1]}/v1"
        with web_server(AMBIT_VLLM_URL=url, AMBIT_VLLM_MODEL="slow") as port:
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(request)
            asked, _ = model.accept()
            with asked:
                asked.settimeout(20)
                assert asked.recv(65536).startswith(b"POST ")
                client.close()

                left = b"more"
                while left:
                    left = asked.recv(65536)

    events = cast.audrey.get("/v1/audit/events", {"action": "answer.given"}).json()["results"]
    assert events == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_with_the_database_away_it_is_503_and_then_fine_again(cast: Cast, database: Stack) -> None:
    publish(cast.alice, cast.here)
    assert cast.alice.post("/v1/search", TEXT).status_code == 200

    database.stop_part("postgres")
    try:
        away = cast.alice.post("/v1/search", TEXT)
    finally:
        database.restart_part("postgres")
        # Those of the tests themselves, which no request closes.
        for connection in connections.all(initialized_only=True):
            connection.close()
    back = [
        cast.alice.post("/v1/search", TEXT)
        for _ in range(settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + 1)
    ]

    assert (away.status_code, away.json()["code"]) == (503, "database_unavailable")
    assert int(away.headers["Retry-After"]) > 0
    assert {r.status_code for r in back} <= {200, 503}
    assert len(back[-1].json()["results"]) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_uploaded_while_the_broker_is_down_is_found_later(
    cast: Cast, workers: Stack
) -> None:
    body = {
        "collection": cast.here.collection,
        "title": "Leave",
        "text": "27 days of annual leave.",
    }
    workers.stop_part("redis")
    try:
        accepted = cast.alice.post("/v1/documents", body)
    finally:
        workers.restart_part("redis")

    assert accepted.status_code == 202
    path = accepted.headers["Location"]
    until = time.monotonic() + 120
    while cast.alice.get(path).json()["state"] != "ready" and time.monotonic() < until:
        time.sleep(0.5)
    assert cast.alice.get(path).json()["state"] == "ready"
    assert len(cast.alice.post("/v1/search", TEXT).json()["results"]) == 1
