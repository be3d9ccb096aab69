"""One supervised part: how it is run, and the process that runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ambit.config.runtime.account import Account

CHILD = Path(__file__).with_name("child.py")
ROOT = Path(__file__).resolve().parents[4]
LOG_BYTES = 10_000_000
HURRY_S = 5.0
# Marks every process of a data directory, so that a later start finds what an earlier one left.
MARK = "AMBIT_SUPERVISED"


@dataclass(frozen=True, slots=True)
class Part:
    """How one part is started, known to be ready, and stopped."""

    name: str
    command: tuple[str, ...]
    log: Path
    # Asked with the process id; an OSError counts as "not yet".
    ready: Callable[[int], bool]
    ready_within_s: float
    stop_within_s: float
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent by the kernel when the supervisor dies without stopping anything.
    death_signal: signal.Signals = signal.SIGKILL
    # Sent when stop_within_s is over; SIGKILL to the whole group follows.
    hurry_signal: signal.Signals = signal.SIGKILL
    # The whole environment: nothing of the supervisor's is inherited.
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    before: Callable[[], None] | None = None


class Process:
    """A running part."""

    def __init__(self, part: Part, *, mark: str, capture: bool = False) -> None:
        """Start the part in a process group of its own, its output appended to its log.

        capture keeps its standard output out of the log, for output().
        """
        self.part = part
        self.started_at = time.monotonic()
        if part.before is not None:
            part.before()
        uid, gid = (part.account.uid, part.account.gid) if part.account else (-1, -1)
        child = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid())]
        child += [str(int(part.death_signal)), str(uid), str(gid), *part.command]
        rotate(part.log)
        with part.log.open("ab") as log:
            self._popen = subprocess.Popen(
                child,
                cwd=ROOT if part.account is None else "/",
                env={**part.env, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return what a captured process wrote, when it has ended; at most a pipe's worth."""
        if self._popen.stdout is None:
            return ""
        with self._popen.stdout as pipe:
            return pipe.read().decode()

    def is_ready(self) -> bool:
        """Ask the part; never raises while it is still coming up."""
        try:
            return self.exit_code is None and self.part.ready(self.pid)
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the part's main process; a gone process is no error."""
        with suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Stop the part and everything in its group; return whether it went by itself in time."""
        self.signal(self.part.stop_signal)
        clean = self._wait(self.part.stop_within_s, hurry)
        if not clean:
            self.signal(self.part.hurry_signal)
            self._wait(HURRY_S)
        self.kill_group()
        return clean

    def kill_group(self) -> None:
        """Kill what is left of the part's process group and reap its main process."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def _wait(self, seconds: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        asked_at = time.monotonic()
        while self._popen.poll() is None:
            waited = time.monotonic() - asked_at
            if waited > seconds or (waited > HURRY_S and hurry()):
                return False
            time.sleep(0.02)
        return True


def rotate(log: Path) -> None:
    """Keep one older log file, so that no log grows without bound over restarts."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
