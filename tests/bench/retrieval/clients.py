"""Client processes of a store, and what a cell of the table asks of them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.retrieval import environment
from tests.bench.retrieval.adapters import Built, Place
from tests.bench.retrieval.servers import Server, clean_environment, memory_below

BUILD_LIMIT_S = 3 * 3600
ANSWER_LIMIT_S = 600


class StoreFailed(RuntimeError):
    """A store's process failed; the text is its last words."""


@dataclass(frozen=True)
class Runner:
    """How processes of one store are started."""

    adapter: str
    place: Place
    server: Server
    log: Path
    # A peer's processes run in its own environment.
    peer: bool

    def build(self, function: str) -> Built:
        """Fill the store, or add to it; raise StoreFailed."""
        try:
            with self.log.open("a") as log:
                done = subprocess.run(
                    self._command("build", function), env=self._env(), cwd=environment.ROOT,
                    stdout=subprocess.PIPE, stderr=log, text=True, timeout=BUILD_LIMIT_S,
                )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StoreFailed(f"{function} took more than {BUILD_LIMIT_S} s") from error
        if done.returncode != 0:
            raise StoreFailed(self.last_words())
        return Built(**json.loads(done.stdout))

    def output(self, *arguments: str) -> Any:
        """Run one of our modules to its end and return the JSON it prints; raise StoreFailed."""
        with self.log.open("a") as log:
            done = subprocess.run(
                [sys.executable, "-m", *arguments], env=self._env(), cwd=environment.ROOT,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        if done.returncode != 0:
            raise StoreFailed(self.last_words())
        return json.loads(done.stdout)

    @contextmanager
    def clients(self, variant: str, n: int) -> Iterator[Clients]:
        """Run n clients until the block ends; raise StoreFailed."""
        with self.log.open("a") as log:
            processes = [
                subprocess.Popen(
                    self._command("serve", variant), env=self._env(), cwd=environment.ROOT,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                )
                for _ in range(n)
            ]  # fmt: skip
        clients = Clients(processes, self)
        try:
            clients.answers()
            yield clients
        finally:
            clients.close()

    def last_words(self) -> str:
        """Return the last line of the store's log."""
        lines = [line.strip() for line in self.log.read_text().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "ended without a word"

    def _command(self, action: str, what: str) -> list[str]:
        python = str(environment.python()) if self.peer else sys.executable
        module = "tests.bench.retrieval.process"
        return [python, "-m", module, action, self.adapter, self.place.text(), what]

    def _env(self) -> dict[str, str]:
        path = os.pathsep.join([str(environment.ROOT), str(environment.ROOT / "platform")])
        return clean_environment() | self.server.env | {"PYTHONPATH": path}


class Clients:
    """Some clients that do the same at the same time."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], runner: Runner) -> None:
        self._processes, self._runner = processes, runner
        self._ended = ""

    def ask(self, commands: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send each client its command and return their answers; raise StoreFailed."""
        if self._ended:
            # The others may still hold answers to what was asked with the one that is gone.
            raise StoreFailed(self._ended)
        for process, command in zip(self._processes, commands, strict=True):
            assert process.stdin is not None
            # One that is gone is noticed when it should answer.
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(command) + "\n")
        return self.answers()

    def answers(self) -> list[dict[str, Any]]:
        """Return one answer of each; raise StoreFailed."""
        found = [self._answer(process) for process in self._processes]
        failed = next((f["failed"] for f in found if "failed" in f), None)
        if failed is not None:
            raise StoreFailed(failed)
        return found

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], ANSWER_LIMIT_S)[0]:
            process.kill()
            self._ended = f"no answer within {ANSWER_LIMIT_S} s"
            raise StoreFailed(self._ended)
        line = process.stdout.readline()
        if not line:
            process.wait()
            self._ended = f"ended with {process.returncode}: {self._runner.last_words()}"
            raise StoreFailed(self._ended)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def memory(self) -> float:
        """Return the memory of all of them in MB, shared pages counted once."""
        return sum(memory_below(process.pid) for process in self._processes)

    def close(self) -> None:
        """End them; one that does not end by itself is killed."""
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.close()
                process.wait(20)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            process.stdout.close()
