"""Workers that die or stand still at a chosen point: run as `python -m tests.flows.stepper`.

Product code has no hooks for this: each line read forks a worker whose functions are wrapped so that
it sends itself a signal before or after one of them. The answer is the worker's process id.
"""

from __future__ import annotations

import ast
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn
from uuid import UUID

import psutil
from django.conf import settings

from ambit.config.runtime.processes import ROOT
from tests.flows.service import LEASE_S, Service, wait_until

LONG_LEASE_S = 600
FLOW, CORPUS = "workers.ingest.flow", "ambit.corpus.ingest"
# Inside the one transaction in which everything is stored.
IN_STORE = (
    "before ambit.corpus.ingest:_remove_chunks",
    "before ambit.corpus.ingest:_insert",
    "after ambit.corpus.ingest:_insert",
    "before ambit.corpus.ingest:record",
)
STORED = "after workers.ingest.flow:store"


def steps() -> list[str]:
    """Return what the flow calls, in order, as module:function."""
    module = ast.parse((ROOT / "workers" / "ingest" / "flow.py").read_text())
    flow = next(f for f in module.body if isinstance(f, ast.FunctionDef) and f.name == "ingest")
    attempt = next(one for one in flow.body if isinstance(one, ast.Try))
    calls = [
        node.value.func
        for node in attempt.body
        if isinstance(node, ast.Assign | ast.Expr) and isinstance(node.value, ast.Call)
    ]
    return [
        f"{CORPUS}:{func.attr}" if isinstance(func, ast.Attribute) else f"{FLOW}:{func.id}"
        for func in calls
        if isinstance(func, ast.Attribute | ast.Name)
    ]


def points() -> list[str]:
    """Return every point, in the order a worker comes to them."""
    found = [f"{when} {step}" for step in steps() for when in ("before", "after")]
    found.insert(found.index(f"after {FLOW}:embed"), "after workers.ingest.embed:embed_passages")
    place = found.index(STORED)
    return [*found[:place], *IN_STORE, *found[place:]]


@dataclass
class Stepper:
    """A process that forks such workers for a running Ambit."""

    service: Service

    @cached_property
    def _process(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.flows.stepper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.service.environment(),
        )

    def start(self, tenant_id: UUID, job_id: UUID, point: str, number: signal.Signals) -> int:
        """Let a worker do a job up to a point; return its process id."""
        # One that stands still could do so in the thread that renews its lease, with the job locked.
        lease_s = LEASE_S if number == signal.SIGKILL else LONG_LEASE_S
        return self._ask(f"start\t{tenant_id}\t{job_id}\t{point}\t{int(number)}\t{lease_s}")

    def signal_of(self, pid: int) -> int:
        """Wait for a worker's end and return the signal that ended it, or 0."""
        return self._ask(f"reap\t{pid}")

    def wait_until_there(self, pid: int) -> None:
        """Wait until a worker died or stands still."""
        there = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
        wait_until(lambda: psutil.Process(pid).status() in there, "a worker at its point")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def main() -> None:
    """Fork a worker for each line read."""
    # Loaded once, and no connection opened: the forked workers share nothing.
    importlib.import_module("workers.app")
    importlib.import_module("workers.tasks")
    for line in sys.stdin:
        command, *values = line.rstrip("\n").split("\t")
        sys.stdout.write(f"{_fork(*values) if command == 'start' else _reap(*values)}\n")
        sys.stdout.flush()
    # After a test that failed some may stand still for ever.
    for child in psutil.Process().children():
        child.kill()


def _fork(tenant_id: str, job_id: str, point: str, number: str, lease_s: str) -> int:
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        settings.AMBIT_JOB_LEASE_S = int(lease_s)
        _work(tenant_id, job_id, point, int(number))
    return child


def _reap(pid: str) -> int:
    _, status = os.waitpid(int(pid), 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _work(tenant_id: str, job_id: str, point: str, number: int) -> NoReturn:
    try:
        tasks = importlib.import_module("workers.tasks")
        when, _, name = point.partition(" ")
        module_name, _, function_name = name.partition(":")
        module = importlib.import_module(module_name)
        wrapped = _wrapped(getattr(module, function_name), first=when == "before", number=number)
        setattr(module, function_name, wrapped)
        tasks.run_job(tenant_id=tenant_id, job_id=job_id)
    finally:
        os._exit(0)


def _wrapped(function: Callable[..., Any], *, first: bool, number: int) -> Callable[..., Any]:
    def wrapper(*args: object, **named: object) -> Any:
        if first:
            os.kill(os.getpid(), number)
        result = function(*args, **named)
        if not first:
            os.kill(os.getpid(), number)
        return result

    return wrapper


if __name__ == "__main__":
    main()
