"""The register of backups: when each was made, until when it is kept and where; beside the ledger.

A backup is written down before its first byte is copied and struck out after its last one is deleted, so that
between these nobody overlooks it. Whoever moves or copies a backup elsewhere is not seen here.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

from django.utils import timezone

from ambit.tombstones import ledger
from ambit.tombstones.ledger import folder
from ambit.tombstones.lines import sync_folder, write_line

FILE = "backups.jsonl"
# begun: being made, or left by a maker that was killed.
State = Literal["begun", "whole", "gone"]


class RegisterUnusable(RuntimeError):
    """The register cannot be read or written: which backups there are is not known."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup and where it is kept."""

    name: str
    place: str
    made_at: datetime
    expires_at: datetime
    state: State

    def now(self, state: State) -> Backup:
        """Return the same backup in another state."""
        return replace(self, state=state)


def kept_backups() -> list[Backup]:
    """Return every backup that is not known to be gone, the oldest first; raise RegisterUnusable."""
    try:
        text = (folder() / FILE).read_bytes()
    except FileNotFoundError as error:
        _require_none_left_behind()
        # Without the folder nobody knows whether there is a register.
        if folder().is_dir():
            return []
        raise RegisterUnusable("its folder is missing") from error
    except OSError as error:
        raise RegisterUnusable(f"it cannot be read: {error.strerror}") from error
    latest = {
        one.name: one for one in map(_read, text.splitlines(keepends=True)) if one is not None
    }
    return sorted((b for b in latest.values() if b.state != "gone"), key=lambda b: b.made_at)


def begin_register() -> None:
    """Make an empty register where there is none, before the ledger's first line; raise OSError."""
    os.close(os.open(folder() / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600))
    sync_folder(folder())


def register(backup: Backup) -> None:
    """Write down a backup as it is now, durably; raise RegisterUnusable."""
    said = asdict(backup) | {
        "made_at": backup.made_at.isoformat(),
        "expires_at": backup.expires_at.isoformat(),
        "at": timezone.now().isoformat(),
    }
    try:
        folder().mkdir(mode=0o700, exist_ok=True)
        if not (folder() / FILE).exists():
            _require_none_left_behind()
        handle = os.open(folder() / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            write_line(handle, json.dumps(said).encode() + b"\n", at=_whole_bytes(handle))
        finally:
            os.close(handle)
        sync_folder(folder())
    except OSError as error:
        raise RegisterUnusable(f"it cannot be written: {error.strerror}") from error


def _require_none_left_behind() -> None:
    """Raise RegisterUnusable where the ledger was brought alone after a restore: a register was begun before it."""
    if (folder() / ledger.FILE).exists():
        raise RegisterUnusable(
            f"{FILE} is missing beside the ledger: bring it. Where there never was a backup, make an empty one"
        )


def _whole_bytes(handle: int) -> int:
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        return file.read().rfind(b"\n") + 1


def _read(line: bytes) -> Backup | None:
    if not line.endswith(b"\n"):
        # Of a writer that was killed before anything was copied, or after everything was deleted.
        return None
    try:
        said = json.loads(line)
        found = Backup(
            name=str(said["name"]),
            place=str(said["place"]),
            made_at=datetime.fromisoformat(said["made_at"]),
            expires_at=datetime.fromisoformat(said["expires_at"]),
            state=said["state"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RegisterUnusable("a line of it cannot be read") from error
    # What is named here is deleted when its time is over: nothing outside its place is.
    is_folder = found.name not in {"", ".", ".."} and "/" not in found.name
    if not is_folder or found.made_at.tzinfo is None or found.expires_at.tzinfo is None:
        raise RegisterUnusable("a line of it is not one that `manage.py backup` writes")
    return found
