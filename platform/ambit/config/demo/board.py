"""What the demonstration prints: acts, ticks and crosses, one live line, and the closing count."""

from __future__ import annotations

import os
import textwrap
import time
from dataclasses import dataclass, field
from typing import TextIO

WIDTH = 100
SEEN_LIMIT = 1500


@dataclass(slots=True)
class Board:
    """Print as things happen and count what was checked."""

    out: TextIO
    passed: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)
    _live: bool = False
    _last_live: str = ""

    def act(self, title: str) -> None:
        """Open an act, with the time since the start."""
        self._line("")
        clock = f"{time.monotonic() - self.began:5.1f} s"
        self._line(self._bold(f"▸ {title.ljust(WIDTH - 12)}{clock}"))

    def check(self, what: str, ok: bool, *, seen: object = "") -> bool:  # noqa: FBT001 - reads as a sentence
        """Print a tick, or a cross with what was seen instead; return whether it held."""
        if ok:
            self.passed += 1
            self._line(f"  {self._color('32', '✓')} {what}")
        else:
            self.failed += 1
            self._line(f"  {self._color('31', '✗')} {what}")
            if seen != "":
                shown = str(seen)
                self.say(f"seen instead: {shown[:SEEN_LIMIT]}", indent=6)
        return ok

    def say(self, text: str, *, indent: int = 4) -> None:
        """Print words, wrapped."""
        pad = " " * indent
        for paragraph in text.splitlines() or [""]:
            lines = textwrap.wrap(paragraph, WIDTH - indent, break_on_hyphens=False) or [""]
            for line in lines:
                self._line(pad + line)

    def live(self, text: str) -> None:
        """Rewrite the live line on a terminal; elsewhere print it when it changes."""
        if text == self._last_live:
            return
        self._last_live = text
        if self.out.isatty():
            self.out.write(f"\r\x1b[2K    {text[: WIDTH - 4]}")
            self.out.flush()
            self._live = True
        else:
            self._line(f"    {text}")

    def settle(self) -> None:
        """End the live line, keeping what it said last."""
        if self._live:
            self.out.write("\n")
            self._live = False
        self._last_live = ""

    def close(self) -> None:
        """Print the count alone on a line."""
        self._line("")
        self._line(f"{self.passed} passed, {self.failed} failed")

    def _line(self, text: str) -> None:
        self.settle()
        self.out.write(text.rstrip() + "\n")
        self.out.flush()

    def _bold(self, text: str) -> str:
        return self._color("1", text)

    def _color(self, code: str, text: str) -> str:
        if not self.out.isatty() or os.environ.get("NO_COLOR"):
            return text
        return f"\x1b[{code}m{text}\x1b[0m"
