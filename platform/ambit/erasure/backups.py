"""When the last backup that may hold erased content expires, as far as this installation knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NONE_KNOWN = "No backup is known to this installation."


@dataclass(frozen=True, slots=True)
class Backups:
    """What is known of backups; expire_at None: none is known, which is not that there is none."""

    expire_at: datetime | None
    words: str


def known_backups() -> Backups:
    """Return when the last known backup made before now expires."""
    return Backups(None, NONE_KNOWN)
