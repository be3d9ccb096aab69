"""Write a file of keys so that it is there whole or not at all, whoever else writes it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Beside the files of keys: who changes one of them holds it.
LOCK = ".changing"
# Who goes through all of them, one after the other, holds this.
ALONE = ".command"


def write_once(path: Path, text: str) -> None:
    """Write a file of mode 0600 durably, its folder made where missing; one that exists is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _write_beside(path, text)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        _sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace(path: Path, text: str) -> None:
    """Put a text in a file's place durably: whoever reads gets the old or the new one, whole.

    The bytes of before are overwritten once the new ones are safe. Raises FileNotFoundError for a file
    that is not there, so that what was destroyed is not brought back. Call it inside changing().
    """
    with path.open("r+b") as old:
        temporary = _write_beside(path, text)
        try:
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)
        _overwrite(old.fileno())


def destroy(path: Path) -> bool:
    """Overwrite and remove a file, and what a killed write left beside it; return whether it was there.

    Call it inside changing().
    """
    found = path.exists()
    # A write that was killed leaves a whole or half copy under such a name.
    for one in (path, *sorted(path.parent.glob(f".{path.name}.*"))):
        try:
            with one.open("r+b") as old:
                one.unlink()
                _sync_directory(path.parent)
                _overwrite(old.fileno())
        except FileNotFoundError:
            continue
    return found


class ChangedByAnother(RuntimeError):
    """Another command works on the keyring's keys now; nothing was changed."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only command that works on the folder's keys until the block ends; raise ChangedByAnother."""
    handle = os.open(folder / ALONE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChangedByAnother("another command works on the keyring now") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Let nobody else change the folder's files until the block ends; who reads them does not wait."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_beside(path: Path, text: str) -> Path:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Path(temporary)


def _overwrite(handle: int) -> None:
    os.pwrite(handle, bytes(os.fstat(handle).st_size), 0)
    os.fsync(handle)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
