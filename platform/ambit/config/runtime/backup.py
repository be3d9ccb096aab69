"""Copy an installation whose database is the embedded one; restore.py brings a copy back.

In a backup: Postgres, copied by pg_basebackup with its log, and the originals, which are ciphertext. NEVER in
it: the keyring, which opens what is in it; the ledger of tombstones, which must be newer than it; the secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ambit.config.embedded import Embedded
from ambit.config.runtime.basebackup import BackupFailed, copy_database, digest_of, verify_database
from ambit.config.runtime.postgres import is_accepting
from ambit.config.runtime.supervisor import Stack

FORMAT = "ambit-backup/1"
# What a restore reads of a manifest.
NEEDED = {"made_at": str, "secrets": str, "keyring": list, "files": dict}
MANIFEST = "manifest.json"
POSTGRES, ORIGINALS = "postgres", "originals"
# More than is counted: the log grows while the database is copied.
SPARE_BYTES = 256 * 2**20
SAY_EVERY_S = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied, and what the manifest says beside it."""

    embedded: Embedded
    originals: Path
    keyring: Path
    version: str


@contextmanager
def database_running(embedded: Embedded, say: Say) -> Iterator[bool]:
    """Have the embedded Postgres for the block, started for it where it does not run; say whether it was."""
    if is_accepting(embedded):
        yield False
        return
    say("starting Postgres …")
    stack = Stack(embedded, port=1, parts={"postgres"})
    stack.start()
    try:
        yield True
    finally:
        stack.stop()


def take_backup(source: Source, target: Path, *, name: str, expires_at: datetime, say: Say) -> Path:
    """Copy everything into a folder of this name and return it; raise BackupFailed.

    The database first: an original that its copy knows of is there to be copied after it.
    """
    made, part = target / name, target / f".{name}.partial"
    part.mkdir(mode=0o700, parents=True)
    try:
        say(f"copying the database ({megabytes(size_of(source.embedded.postgres_dir))}) …")
        copy_database(source.embedded, part / POSTGRES)
        say("checking the copy of the database …")
        verify_database(part / POSTGRES)
        files = _copy_originals(source.originals, part / ORIGINALS, say)
        files[f"{POSTGRES}/backup_manifest"] = digest_of(part / POSTGRES / "backup_manifest")
        manifest = {
            "format": FORMAT,
            "name": name,
            "made_at": datetime.now(UTC).isoformat(),
            "expires_at": expires_at.isoformat(),
            "version": source.version,
            "secrets": secrets_of(source.embedded),
            # Which keys open what is in it: names of files, which hold ids.
            "keyring": sorted(path.name for path in source.keyring.glob("*") if path.is_file()),
            "not_in_it": ["keyring", "tombstones", "secrets.json"],
            "files": files,
        }
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        os.sync()
        part.rename(made)
        os.sync()
    except OSError as error:
        raise BackupFailed(f"it could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def require_room(source: Source, target: Path) -> None:
    """Raise BackupFailed where the folder's disk has no room for a copy of everything."""
    needed = size_of(source.embedded.postgres_dir) + size_of(source.originals) + SPARE_BYTES
    free = shutil.disk_usage(target).free
    if free < needed:
        raise BackupFailed(
            f"{target} has room for {megabytes(free)}; {megabytes(needed)} are needed"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a backup says of itself; raise BackupFailed where it is none, or not whole."""
    try:
        said = json.loads((folder / MANIFEST).read_text())
        if said["format"] != FORMAT:
            raise BackupFailed(f"{folder} is a backup of another format: {said['format']}")
        is_whole = all(isinstance(said[name], kind) for name, kind in NEEDED.items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupFailed(f"{folder} is no whole backup: {MANIFEST} cannot be read") from error
    if not is_whole:
        raise BackupFailed(f"{folder} is no whole backup: {MANIFEST} is not what `backup` writes")
    found: dict[str, Any] = said
    return found


def verify_files(folder: Path, files: dict[str, list[Any]]) -> None:
    """Compare each file of a backup with its manifest; raise BackupFailed with the first that differs.

    Nor may anything stand among the originals that the manifest does not name: nobody knows what it is.
    """
    for path in sorted((folder / ORIGINALS).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink() or (not path.is_dir() and name not in files):
            raise BackupFailed(f"{name} is in the backup, and its manifest does not name it")
    for name, (n_bytes, sha256) in files.items():
        try:
            found = digest_of(folder / name)
        except OSError as error:
            raise BackupFailed(f"{name} of the backup cannot be read: {error.strerror}") from error
        if found != [n_bytes, sha256]:
            raise BackupFailed(f"{name} of the backup is not what its manifest says")


def secrets_of(embedded: Embedded) -> str:
    """Return by what the secrets are told from others, and cannot be told: a hash of a long random text."""
    pepper = embedded.secrets["pepper"] + embedded.secrets["password_postgres"]
    return hashlib.sha256(f"ambit.backup|{pepper}".encode()).hexdigest()[:32]


def _copy_originals(source: Path, target: Path, say: Say) -> dict[str, list[Any]]:
    """Copy every file there is; one that goes meanwhile was destroyed, and is not missed."""
    target.mkdir(mode=0o700)
    files: dict[str, list[Any]] = {}
    said_at = time.monotonic()
    for path in sorted(source.rglob("*")) if source.exists() else []:
        copy = target / path.relative_to(source)
        try:
            if path.is_dir():
                copy.mkdir(mode=0o700, parents=True, exist_ok=True)
                continue
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        except (FileNotFoundError, NotADirectoryError):
            continue
        files[f"{ORIGINALS}/{path.relative_to(source)}"] = digest_of(copy)
        if time.monotonic() - said_at > SAY_EVERY_S:
            said_at = time.monotonic()
            say(f"copying originals: {len(files)} …")
    say(f"{len(files)} files of originals")
    return files


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(at) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{n_bytes / 2**20:,.0f} MB"
