"""The walls round a parser process hold against code that runs inside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from workers.ingest import parse as step
from workers.ingest.parse import Limits, ParserCrashed, ParserTimedOut, TooLarge, parse

LOCK = "child.lock_in(limits)"
# What a parser that has been taken over could run: the real start, then the attempt.
START = """
import json, os, sys
sys.path.append(sys.argv[1])
from workers.ingest.parsers import child, confine
from workers.ingest.parsers.limits import Limits
confine.die_with_parent(int(sys.argv[2]))
limits = Limits(**json.load(sys.stdin)["limits"])
"""
Attempt = Callable[..., str]
T = TypeVar("T")


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """Run code in a parser process and return what it prints; locked in unless told otherwise."""

    def run(code: str, *, locked: bool = True, limits: Limits | None = None) -> str:
        limits = limits or Limits(wall_seconds=20)
        monkeypatch.setattr(step, "_BOOT", START + (LOCK if locked else "") + "\n" + code)
        reply, _, _ = step._run(b"content", {"limits": asdict(limits)}, limits, lambda: None)
        return reply.decode().strip()

    return run


def tried(line: str) -> str:
    return f"try:\n {line}\n print('DONE')\nexcept OSError as e:\n print(type(e).__name__)"


def test_this_machine_gives_every_wall() -> None:
    assert step.confinement(limits=Limits()) >= {"system-calls", "files", "capabilities"}


def test_a_parser_cannot_reach_the_network(attempt: Attempt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = "import socket\n" + tried(f"socket.create_connection(('127.0.0.1', {port}), 2)")

        assert attempt(code, locked=False) == "DONE"
        assert attempt(code) == "PermissionError"


@pytest.mark.parametrize("without", ["_filter_system_calls", "_restrict_files"])
def test_the_network_namespace_alone_also_keeps_it_away(attempt: Attempt, without: str) -> None:
    if "network-namespace" not in step.confinement(limits=Limits()):
        pytest.skip("this machine gives no network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"confine.{without} = lambda *a: False\n{LOCK}\nimport socket\n"
        code += tried(f"socket.create_connection(('127.0.0.1', {port}), 2)")

        assert attempt(code, locked=False) in ("OSError", "PermissionError")


def test_a_parser_cannot_read_a_file_that_is_not_the_interpreters(
    attempt: Attempt, tmp_path: Path
) -> None:
    secret = tmp_path / "keyring"
    secret.write_text("key")
    code = tried(f"open({str(secret)!r}).read()")

    assert attempt(code, locked=False) == "DONE"
    assert attempt(code) == "PermissionError"
    assert attempt(tried("open('/proc/%d/environ' % os.getppid()).read()")) == "PermissionError"


def test_a_parser_cannot_write_a_file(attempt: Attempt) -> None:
    code = tried("open('left-behind', 'w').write('text')")

    assert attempt(code, locked=False) == "DONE"
    assert attempt(code) == "PermissionError"


@pytest.mark.parametrize(
    "line",
    ["os.fork() or os._exit(0)", "os.execv('/bin/true', ['true'])", "os.kill(os.getppid(), 0)"],
)
def test_a_parser_cannot_start_or_signal_a_process(attempt: Attempt, line: str) -> None:
    assert attempt(tried(line)) == "PermissionError"


def test_a_parser_has_none_of_the_workers_environment(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("AMBIT_SECRET_KEY", "secret")

    seen = json.loads(attempt("print(json.dumps(dict(os.environ)))"))

    allowed = {"PATH", "LANG", "HOME", "TMPDIR", "ORT_DISABLE_TELEMETRY", "MALLOC_ARENA_MAX",
               "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "OMP_NUM_THREADS", "LC_CTYPE"}  # fmt: skip
    assert set(seen) <= allowed
    assert seen["ORT_DISABLE_TELEMETRY"] == "1"


def test_a_parser_starts_in_a_folder_of_its_own_that_is_removed(attempt: Attempt) -> None:
    folder = Path(attempt("print(os.getcwd())"))

    assert folder.name.startswith("ambit-parse-")
    assert not folder.exists()


def test_a_parser_loads_neither_django_nor_celery() -> None:
    code = (
        f"import sys; sys.path.append({str(step._ROOT)!r}); import importlib, pkgutil;"
        "import workers.ingest.parsers as p;"
        "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)];"
        "print({'django', 'celery', 'rest_framework', 'ambit', 'torch'} & set(sys.modules))"
    )

    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)

    assert found.stdout.strip() == b"set()"


def test_a_parser_that_takes_too_much_memory_is_named(attempt: Attempt) -> None:
    limits = Limits(memory_bytes=256 << 20, wall_seconds=20)
    code = "try:\n bytearray(300 << 20)\nexcept MemoryError:\n print('REFUSED')"

    assert attempt(code, limits=limits) == "REFUSED"


def test_a_document_too_big_for_the_memory_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read(b"word " * (20 << 20), limits=Limits(memory_bytes=200 << 20, wall_seconds=60))


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.abort()", "SIGABRT"),
        ("os._exit(3)", "exit_3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("print('not a reply')", "malformed_reply"),
        ("sys.stdout.buffer.write(b'x' * (1 << 26))", "SIGKILL"),
    ],
)
def test_a_parser_that_falls_over_is_a_named_failure(
    monkeypatch: pytest.MonkeyPatch, code: str, how: str
) -> None:
    monkeypatch.setattr(step, "_BOOT", START + LOCK + "\n" + code)

    with pytest.raises(ParserCrashed) as caught:
        read(b"content", limits=Limits(wall_seconds=20, max_characters=10, max_blocks=10))

    assert caught.value.how in how.split("|")


def test_a_parser_kept_busy_is_killed_at_its_limit_and_the_lease_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step, "_HEARTBEAT_SECONDS", 0.1)
    beats = []
    started = time.monotonic()

    with pytest.raises(ParserTimedOut):
        read(slow(), limits=Limits(wall_seconds=1.0), on_wait=lambda: beats.append(1))

    assert time.monotonic() - started < 10
    assert len(beats) >= 2
    assert parsers_of(os.getpid()) == []


def test_a_parser_that_burns_its_processor_time_is_stopped() -> None:
    with pytest.raises(ParserTimedOut):
        read(slow(), limits=Limits(cpu_seconds=1, wall_seconds=60))


def test_a_lost_lease_stops_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    class LeaseLost(Exception):
        pass

    def lose() -> None:
        raise LeaseLost

    monkeypatch.setattr(step, "_HEARTBEAT_SECONDS", 0.2)

    with pytest.raises(LeaseLost):
        read(slow(), limits=Limits(wall_seconds=60), on_wait=lose)

    assert parsers_of(os.getpid()) == []


def test_a_parser_dies_with_its_worker() -> None:
    boot = START + LOCK + "\nimport time; time.sleep(120)"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(step._ROOT), boot])
    try:
        parser = wait_for(lambda: parsers_of(worker.pid))[0]
        wait_for(lambda: "128" in open_files_limit(parser.pid))
        worker.kill()
        worker.wait()

        wait_for(lambda: not parser.is_running() or parser.status() == psutil.STATUS_ZOMBIE)
    finally:
        worker.kill()
        worker.wait()


WORKER = """
import sys; sys.path.append(sys.argv[1])
from workers.ingest import parse as step
step._BOOT = sys.argv[2]
step.parse(path_or_bytes=b"x", file_name="a.txt", declared_mime=None, limits=step.Limits(),
           on_wait=lambda: None)
"""


def slow() -> bytes:
    """Give a document that is honest and takes several seconds to read."""
    return b"name,team,city,note\n" + b"alice,red,oslo,a note of some words\n" * 1_500_000


def read(content: bytes, *, limits: Limits, on_wait: Callable[[], object] = lambda: None) -> object:
    return parse(
        path_or_bytes=content,
        file_name="a.csv",
        declared_mime=None,
        limits=limits,
        on_wait=lambda: (on_wait(), None)[1],
    )


def parsers_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "workers.ingest.parsers" in " ".join(child.cmdline())]


def open_files_limit(pid: int) -> str:
    """Tell from outside how far a parser has come: the limit is set after it is tied to its parent."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max open files")).split()[3]


def wait_for(condition: Callable[[], T]) -> T:
    until = time.monotonic() + 15
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found
