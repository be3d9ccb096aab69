"""Start the real supervisor as its own process, as `make serve` does."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from ambit.config.runtime.processes import MARK, ROOT

OURS = ("AMBIT_", "DATABASE_URL", "REDIS_URL", "PG", MARK)
READY_LINE = "Ctrl-C stops everything."


def clean_env(**variables: str) -> dict[str, str]:
    """Return this process's environment without Ambit's variables, and with the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, **variables}


def run_serve(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the supervisor to its end, for starts that must be refused."""
    return subprocess.run(
        [sys.executable, "-m", "ambit.config.runtime", *arguments],
        cwd=ROOT,
        env=clean_env(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Serving:
    """A supervisor in a process of its own, with Postgres and Redis only."""

    def __init__(self, data_dir: Path) -> None:
        """Start it and return when it says that everything is ready."""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "ambit.config.runtime", "--parts=postgres,redis", "--port=0"],
            cwd=ROOT,
            env=clean_env(AMBIT_DATA_DIR=str(data_dir)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.data_dir = data_dir
        self.lines: list[str] = []
        self._arrived: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(READY_LINE)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._popen.pid

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.lines.append(line.rstrip())
            self._arrived.put(line)

    def wait_for(self, text: str, *, within_s: float = 60) -> None:
        """Wait until a line not yet waited for holds the text."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if text in self._arrived.get(timeout=max(0.01, deadline - time.monotonic())):
                    return
            except queue.Empty:
                raise AssertionError(f"never said {text!r}: {self.lines}") from None

    def children(self) -> list[psutil.Process]:
        """Return every process below the supervisor."""
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self._popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        code = self._popen.wait(60)
        self._reader.join(10)
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        return code

    def end(self) -> None:
        """Stop it if it still runs."""
        if self._popen.poll() is None:
            self.signal(signal.SIGTERM)
