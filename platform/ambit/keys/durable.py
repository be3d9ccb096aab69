"""Write a file of keys so that it is there whole or not at all, whoever else writes it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_once(path: Path, text: str) -> None:
    """Write a file of mode 0600 durably, its folder made where missing; one that exists is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        _sync_directory(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def remove(path: Path) -> bool:
    """Remove a file so that it stays removed after a power cut; return whether there was one."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    finally:
        # Also where somebody removed it and died before this.
        if path.parent.is_dir():
            _sync_directory(path.parent)
    return True


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
