"""Plain text."""

from __future__ import annotations

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.decode import decode
from workers.ingest.parsers.limits import Limits


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add the whole as one run of text."""
    del kind, limits
    builder.text(decode(data))
