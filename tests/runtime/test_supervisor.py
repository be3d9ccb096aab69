"""The supervisor: one per directory, nothing left behind, nothing lost, crashed parts come back."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from ambit.config.embedded import Embedded
from ambit.config.runtime.processes import Part, Process
from ambit.config.runtime.slots import CRASHES, Slot, StackFailed
from ambit.config.runtime.supervisor import Stack
from tests.runtime.serving import Serving, run_serve

Serve = Callable[[], Serving]


def ask(embedded: Embedded, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(embedded.database_url("ambit_owner")) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def sockets(embedded: Embedded) -> list[Path]:
    return [path for path in embedded.socket_dir.iterdir() if path.is_socket()]


def test_a_second_serve_on_the_same_directory_is_refused_and_changes_nothing(
    embedded: Embedded, serve: Serve
) -> None:
    first = serve()
    before = {child.pid for child in first.children()}

    second = run_serve("--port=0", AMBIT_DATA_DIR=str(embedded.data_dir))

    assert second.returncode == 2
    assert f"already runs on {embedded.data_dir} (process {first.pid}, http://" in second.stderr
    assert before <= {child.pid for child in first.children()}
    assert ask(embedded, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_process_and_no_socket(
    embedded: Embedded, serve: Serve, number: signal.Signals
) -> None:
    serving = serve()
    children = serving.children()

    code = serving.signal(number)

    assert code == 0
    assert serving.lines[-1] == "stopped"
    assert len(children) > 2
    assert [child for child in children if child.is_running()] == []
    assert sockets(embedded) == []
    assert "database system is shut down" in (embedded.log_dir / "postgres.log").read_text()


def test_data_survives_kill_9_of_the_supervisor_and_its_parts_go_with_it(
    embedded: Embedded, serve: Serve
) -> None:
    killed = serve()
    children = killed.children()
    ask(embedded, "CREATE TABLE IF NOT EXISTS kept (answer int)")
    ask(embedded, "INSERT INTO kept VALUES (42)")

    killed.signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=30)
    serve()

    assert alive == []
    assert ask(embedded, "SELECT DISTINCT answer FROM kept") == [(42,)]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_killed_part_is_started_again(embedded: Embedded, stack: Stack, name: str) -> None:
    before = stack.pid(name)
    with psycopg.connect(embedded.database_url("ambit_owner")):
        os.kill(before, signal.SIGKILL)

        stack.wait_until_ready(name, after_pid=before)

    assert stack.pid(name) != before
    assert ask(embedded, "SELECT 1") == [(1,)]


def test_the_crash_of_a_part_is_told_with_its_signal_and_log(
    embedded: Embedded, serve: Serve
) -> None:
    serving = serve()
    redis = next(child for child in serving.children() if child.name() == "redis-server")

    redis.kill()

    serving.wait_for(
        f"redis ended by itself with signal SIGKILL; log: {embedded.log_dir}/redis.log"
    )
    serving.wait_for("redis … ready in ")


def test_a_part_stopped_on_purpose_stays_stopped_until_it_is_asked_for(stack: Stack) -> None:
    stack.stop_part("redis")
    time.sleep(0.5)

    with pytest.raises(LookupError):
        stack.pid("redis")
    stack.restart_part("redis")

    assert stack.pid("redis") > 0


def test_a_part_that_crashes_again_and_again_ends_the_attempts(tmp_path: Path) -> None:
    said: list[str] = []
    part = Part(
        name="short",
        command=("/bin/sleep", "0.2"),
        log=tmp_path / "short.log",
        ready=lambda _pid: True,
        ready_within_s=5,
        stop_within_s=5,
    )
    slot = Slot(make=lambda: part, spawn=lambda p: Process(p, mark="short"), say=said.append)
    slot.start()

    with pytest.raises(StackFailed, match=f"{CRASHES} times within 60 s"):
        for _ in range(1000):
            slot.tick()
            time.sleep(0.02)

    assert len([line for line in said if "starting it again" in line]) == CRASHES - 1


def test_a_part_that_never_gets_ready_fails_at_once(tmp_path: Path) -> None:
    part = Part(
        name="broken",
        command=("/bin/false",),
        log=tmp_path / "broken.log",
        ready=lambda _pid: False,
        ready_within_s=5,
        stop_within_s=5,
    )
    slot = Slot(make=lambda: part, spawn=lambda p: Process(p, mark="broken"), say=lambda _: None)
    slot.start()

    with pytest.raises(
        StackFailed, match=r"broken ended by itself with exit code 1; log: .*broken\.log"
    ):
        for _ in range(200):
            slot.tick()
            time.sleep(0.02)


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        refused = run_serve(f"--port={port}", AMBIT_DATA_DIR=str(tmp_path / "data"))

    assert refused.returncode == 2
    assert re.search(
        rf"Port {port} on 127\.0\.0\.1 cannot be used .* set AMBIT_PORT", refused.stderr
    )
    assert not (tmp_path / "data" / "postgres").exists()
