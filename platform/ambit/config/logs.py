"""One line per event: its constant name and the ids it was given, never content."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import cast

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Celery and Django hang whole objects on their records.
_LEFT_OUT = frozenset({"request", "data", "status_code", "server_time"})


class LineFormatter(logging.Formatter):
    """Writes the fields given as extra= behind the event's name."""

    def __init__(self) -> None:
        """Fix the order of what every line begins with."""
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: object) -> str:
        """Return an exception's type and where it passed, never its words: they may quote values."""
        kind, _, trace = cast("tuple[type[BaseException], BaseException, TracebackType]", ei)
        frames = "".join(
            f"\n  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(trace)
        )
        return f"{kind.__name__}{frames}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line with its fields as name=value."""
        fields = {
            name: value
            for name, value in record.__dict__.items()
            if name not in _STANDARD and name not in _LEFT_OUT
        }
        words = "".join(f" {name}={value}" for name, value in fields.items())
        return super().formatMessage(record) + words
