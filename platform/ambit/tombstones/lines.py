"""Add a line to a file durably: all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path


def write_line(handle: int, text: bytes, *, at: int) -> None:
    """Write all of a line behind what is there, or nothing; raise OSError.

    at: where the last whole line ends. What a killed writer left of another one is taken off first.
    """
    if os.fstat(handle).st_size != at:
        os.ftruncate(handle, at)
    try:
        written = 0
        while written < len(text):
            written += os.write(handle, text[written:])
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, at)
        raise


def sync_folder(place: Path) -> None:
    """Have a folder's new names on disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
