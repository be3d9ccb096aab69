"""Whatever dies, every event that was answered for is signed, copied outside, and proves itself elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tests.flows.service import Caller, Service, Tenant, wait_until

pytestmark = pytest.mark.long

N_KILLS = 2
HOST = "127.0.0.1"
# More than a process has connections to the database.
N_SLOW_READERS = 10


def searching(caller: Caller, ends: threading.Event, answered: list[str]) -> None:
    """Search until told to end, and remember what was answered."""
    while not ends.is_set():
        answer = caller.ask("POST", "/v1/search", json={"query": "weather", "mode": "text"})
        if answer.status_code == 200:
            answered.append(answer.headers["X-Request-Id"])


def n_unnumbered(tenant: Tenant) -> int:
    """Return how many of a tenant's events are not in its tree."""
    rows = tenant.service.ask_database(
        "SELECT count(*) FROM tenants_auditevent e WHERE tenant_id = %s AND NOT EXISTS"
        " (SELECT FROM audit_leaf l WHERE l.tenant_id = e.tenant_id AND l.id = e.id)",
        tenant.uuid,
    )
    return int(rows[0][0])


@pytest.mark.parametrize("part", ["audit", "postgres"])
def test_every_answered_search_is_signed_whatever_was_killed(
    service: Service, tenant: Tenant, tmp_path: Path, part: str
) -> None:
    ends, answered = threading.Event(), list[str]()
    asker = threading.Thread(target=searching, args=(tenant.alice, ends, answered))
    asker.start()
    try:
        for _ in range(N_KILLS):
            time.sleep(3)
            pid = service.stack.pid(part)
            # Postgres ends at once at SIGQUIT and leaves its log to be replayed.
            os.kill(pid, signal.SIGQUIT if part == "postgres" else signal.SIGKILL)
            service.stack.wait_until_ready(part, after_pid=pid)
    finally:
        ends.set()
        asker.join()
    wait_until(lambda: n_unnumbered(tenant) == 0, "every event has its number", within_s=60)

    # Kept before the export, which has an event of its own that is signed within a second.
    kept = shutil.copytree(service.embedded.audit_dir / tenant.id, tmp_path / "kept")
    export = unpacked(tenant, tmp_path / "export")
    assert answered
    assert set(answered) <= {
        event["who"]["value"]["request_id"] for event in lines(export / "events.jsonl")
    }
    command = [sys.executable, "-I", "ambit_verify.pyz", "--checkpoints", str(kept)]
    done = subprocess.run(command, cwd=export, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_happens_is_signed_and_copied_within_seconds(service: Service, tenant: Tenant) -> None:
    tenant.alice.search("weather", mode="text")

    wait_until(lambda: n_unnumbered(tenant) == 0, "every event has its number")
    wait_until(
        lambda: any((service.embedded.audit_dir / tenant.id).glob("*.notes")), "a copy outside"
    )


def test_a_long_trail_comes_whole_and_slow_readers_keep_nobody_waiting(
    service: Service, tenant: Tenant, tmp_path: Path
) -> None:
    with service.superuser() as superuser:
        superuser.execute(
            "INSERT INTO tenants_auditevent"
            " (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids, counts)"
            " SELECT gen_random_uuid(), %s, now(), 'worker', 'x', '{}', '{}', '{}'"
            " FROM generate_series(1, 20000)",
            [tenant.uuid],
        )
    wait_until(lambda: n_unnumbered(tenant) == 0, "every event has its number")
    export = unpacked(tenant, tmp_path)
    assert len(lines(export / "events.jsonl")) > 20_000

    with contextlib.ExitStack() as readers:
        for _ in range(N_SLOW_READERS):
            reader = readers.enter_context(socket.create_connection((HOST, service_port(service))))
            reader.sendall(
                f"GET /v1/audit/export HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {tenant.key}\r\n\r\n".encode()
            )
            assert b" 200 " in reader.recv(100)
        time.sleep(1)

        assert service.tenant().alice.search("weather", mode="text") == []


def service_port(service: Service) -> int:
    """Return where the web server listens."""
    return int(service.stack.url.rpartition(":")[2])


def unpacked(tenant: Tenant, folder: Path) -> Path:
    """Download the trail and unpack it."""
    answers = []

    def is_answered() -> bool:
        # A database that was away is told by a 503 or two.
        answers.append(tenant.itself.ask("GET", "/v1/audit/export"))
        return bool(answers[-1].status_code == 200)

    wait_until(is_answered, "the export")
    with zipfile.ZipFile(io.BytesIO(answers[-1].content)) as file:
        file.extractall(folder)
    return folder


def lines(path: Path) -> list[dict[str, dict[str, dict[str, object]]]]:
    """Return the objects of a file of lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
