"""Copy the running embedded Postgres by pg_basebackup, and check a copy against the manifest that it writes.

The check is what pg_verifybackup does, whose program in the embedded Postgres' package ends with a segmentation
fault even when asked for its version: every file's SHA-256, no file too few or too many, and the log read through.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ambit.config.embedded import Embedded
from ambit.config.runtime.postgres import postgres_bin

MANIFEST = "backup_manifest"
# What stands in no manifest: itself, and the log, which is read through instead.
_NOT_LISTED = (MANIFEST, "pg_wal/")
_SUM = b'"Manifest-Checksum"'


class BackupFailed(RuntimeError):
    """No backup was made, or it is not whole; the text says why."""


def copy_database(embedded: Embedded, folder: Path) -> None:
    """Copy the running database into a new folder with all the log that it needs; raise BackupFailed."""
    command = [
        str(postgres_bin() / "pg_basebackup"),
        "--pgdata", str(folder), "--wal-method", "stream", "--checkpoint", "fast",
        "--manifest-checksums", "SHA256", "--no-password",
    ]  # fmt: skip
    login = {
        "PGHOST": str(embedded.socket_dir),
        "PGUSER": "postgres",
        "PGPASSWORD": embedded.secrets["password_postgres"],
    }
    _run(command, env=login)


def verify_database(folder: Path) -> None:
    """Compare each of a copied database's files and its log with the copy's manifest; raise BackupFailed."""
    said = _manifest(folder)
    listed = {one["Path"]: one for one in said["Files"]}
    there = {name for name in _names(folder) if not name.startswith(_NOT_LISTED)}
    for name in sorted(there ^ listed.keys()):
        raise BackupFailed(
            f"{name} of the database's copy is {'missing' if name in listed else 'foreign'}"
        )
    for name, one in listed.items():
        if digest_of(folder / name) != [one["Size"], one["Checksum"]]:
            raise BackupFailed(f"{name} of the database's copy is not what its manifest says")
    for span in said["WAL-Ranges"]:
        _run(
            [
                str(postgres_bin() / "pg_waldump"), "--quiet", "--path", str(folder / "pg_wal"),
                "--timeline", str(span["Timeline"]),
                "--start", span["Start-LSN"], "--end", span["End-LSN"],
            ]
        )  # fmt: skip


def digest_of(path: Path) -> list[Any]:
    """Return a file's bytes and their SHA-256; raise OSError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return [file.tell(), sha256]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / MANIFEST).read_bytes()
        said: dict[str, Any] = json.loads(text)
        whole = hashlib.sha256(text[: text.rindex(_SUM)]).hexdigest() == said["Manifest-Checksum"]
    except (OSError, ValueError, KeyError) as error:
        raise BackupFailed(f"{MANIFEST} of the database's copy cannot be read") from error
    if not whole:
        raise BackupFailed(f"{MANIFEST} of the database's copy was changed")
    return said


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()]


def _run(command: list[str], *, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"LC_ALL": "C", "PATH": os.defpath, **(env or {})},
    )
    if done.returncode != 0:
        raise BackupFailed(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
