"""The place of one part in the stack: start it, see it ready, start it again after a crash."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable

from ambit.config.runtime.processes import Part, Process

CRASHES, CRASH_WINDOW_S = 5, 60.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 10.0


class StackFailed(RuntimeError):
    """A part or a step failed so that the stack cannot go on; the text names it and its log."""


class Slot:
    """One part over its restarts."""

    def __init__(
        self,
        *,
        make: Callable[[], Part],
        spawn: Callable[[Part], Process],
        say: Callable[[str], None],
    ) -> None:
        """Describe the part; nothing is started."""
        self._make, self._spawn, self._say = make, spawn, say
        self.process: Process | None = None
        self.ready = False
        self.wanted = self._was_ready = False
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._not_before = 0.0

    def start(self) -> None:
        """Start the part; tick() sees it become ready."""
        self.wanted, self.ready = True, False
        self.process = self._spawn(self._make())

    def tick(self) -> None:
        """Look once; raises StackFailed if the part never got ready or crashes again and again."""
        process = self.process
        if process is None:
            if self.wanted and time.monotonic() >= self._not_before:
                self.start()
        elif process.exit_code is not None:
            self._crashed(process, f"ended by itself with {ending(process.exit_code)}")
        elif not self.ready:
            waited = time.monotonic() - process.started_at
            if process.is_ready():
                self.ready = self._was_ready = True
                self._say(f"{process.part.name} … ready in {waited:.1f} s")
            elif waited > process.part.ready_within_s:
                self._crashed(process, f"was not ready after {waited:.0f} s")

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Stop the part until start(), saying so if it had to be killed; stopped is no error."""
        self.wanted = False
        process, self.process, self.ready = self.process, None, False
        if process is not None and not process.stop(hurry=hurry):
            self._say(f"{process.part.name} … did not stop in time and was killed")

    def _crashed(self, process: Process, what: str) -> None:
        self.process, self.ready = None, False
        process.kill_group()
        sentence = f"{process.part.name} {what}; log: {process.part.log}"
        if not self._was_ready:
            raise StackFailed(sentence)
        now = time.monotonic()
        self._crashes.append(now)
        if len(self._crashes) == CRASHES and now - self._crashes[0] < CRASH_WINDOW_S:
            raise StackFailed(
                f"{sentence}; {CRASHES} times within {CRASH_WINDOW_S:.0f} s, so everything stops"
            )
        recent = sum(1 for moment in self._crashes if now - moment < CRASH_WINDOW_S)
        delay = min(FIRST_DELAY_S * 2 ** (recent - 1), LONGEST_DELAY_S)
        self._not_before = now + delay
        self._say(f"{sentence}; starting it again in {delay:.1f} s")


def ending(exit_code: int) -> str:
    """Return an exit code in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
