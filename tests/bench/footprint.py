"""From nothing to a first cited answer, and what all processes hold in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ambit.config.runtime.network import free_port
from tests.bench.service import ROOT, Service, Tenant

READY_LINE = "Ctrl-C stops everything."
HANDBOOK = "Employees get 27 days of annual leave. Unused days lapse at the end of March."
QUESTION = "How many days of annual leave do employees get?"
MB = 1024 * 1024
NAMES = {
    "ambit.config.runtime": "supervisor",
    "ambit.inference.server": "embed",
    "uvicorn": "web",
    "beat": "beat",
    "worker": "worker",
    "workers.ingest.parsers": "parser",
}


@dataclass(frozen=True)
class FirstAnswer:
    """Seconds since the start of the process, on a data directory that did not exist."""

    ready_s: float
    answered_s: float
    memory: dict[str, tuple[int, float, float]]


def first_answer() -> FirstAnswer:
    """Start as `make serve` does, upload one document, ask one question; stop everything."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        port = free_port()
        started = time.monotonic()
        with serving(Path(folder) / "data", port) as process:
            ready_s = time.monotonic() - started
            with Service(f"http://127.0.0.1:{port}", Path(folder) / "data") as service:
                ask_first(service.tenant(service.operator(), "first"))
            answered_s = time.monotonic() - started
            return FirstAnswer(ready_s, answered_s, memory_of(process.pid))


@contextmanager
def serving(data_dir: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the supervisor as a process of its own until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ambit.config.runtime", f"--port={port}"],
        cwd=ROOT,
        env=os.environ | {"AMBIT_DATA_DIR": str(data_dir)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not any(READY_LINE in line for line in process.stdout):
            raise SystemExit("the server ended before it was ready")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def ask_first(tenant: Tenant) -> None:
    """Upload a document, ask for what it says as soon as it is ready, insist on a citation."""
    member = tenant.member("alice")
    collection = tenant.collection(
        "Handbooks", [{"principal": f"member:{member}", "role": "owner"}]
    )
    api = tenant.acting_for(member)
    body = {"collection": collection, "title": "Handbook", "text": HANDBOOK}
    document = api.call("POST", "/v1/documents", json=body)["id"]
    while api.call("GET", f"/v1/documents/{document}")["state"] != "ready":
        time.sleep(0.05)
    answer = api.call("POST", "/v1/answers", json={"question": QUESTION})
    if "27" not in answer["answer"] or not answer["citations"]:
        raise SystemExit(f"the first answer is wrong: {answer}")


def memory_of(pid: int) -> dict[str, tuple[int, float, float]]:
    """Return, by kind of Ambit's processes from pid down: how many, resident MB, proportional MB."""
    found: dict[str, tuple[int, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            kind = _kind(process)
        except psutil.Error:
            continue
        if kind is None:
            continue
        n, rss, pss = found[kind]
        found[kind] = (n + 1, rss + memory.rss / MB, pss + memory.pss / MB)
    return dict(found)


def total_pss(memory: dict[str, tuple[int, float, float]]) -> float:
    """Return the memory of all of them in MB, shared pages counted once."""
    return sum(pss for _, _, pss in memory.values())


def _kind(process: psutil.Process) -> str | None:
    words = " ".join(process.cmdline())
    if process.name().startswith(("postgres", "redis")):
        return process.name().split(":")[0].split("-")[0]
    return next((kind for mark, kind in NAMES.items() if mark in words), None)


@dataclass
class Peak:
    """The largest total seen of what runs below a benchmark, and what it was made of."""

    pid: int
    memory: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look once a second until the block ends."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(1):
                now = memory_of(self.pid)
                if total_pss(now) > total_pss(self.memory):
                    self.memory = now

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def show_memory(memory: dict[str, tuple[int, float, float]]) -> None:
    """Print a table of processes."""
    print(f"  {'process':12} {'n':>3} {'RSS MB':>8} {'PSS MB':>8}")
    for kind, (n, rss, pss) in sorted(memory.items(), key=lambda item: -item[1][2]):
        print(f"  {kind:12} {n:3} {rss:8.0f} {pss:8.0f}")
    rss = sum(rss for _, rss, _ in memory.values())
    print(f"  {'all':12} {'':3} {rss:8.0f} {total_pss(memory):8.0f}")
