"""Bring a backup back into a data directory that holds nothing yet but what an operator brought."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambit.config.embedded import Embedded
from ambit.config.runtime.account import Account, postgres_account
from ambit.config.runtime.backup import (
    ORIGINALS,
    POSTGRES,
    Say,
    megabytes,
    read_manifest,
    secrets_of,
    size_of,
    verify_files,
)
from ambit.config.runtime.basebackup import BackupFailed, verify_database
from ambit.config.runtime.lock import DataDirLock

# What an operator brings, and what the programs make that hold nothing of a tenant's.
BROUGHT = {"secrets.json", "keyring", "tombstones", "audit", "backups", "retrieval.json"}
HARMLESS = {"supervisor.lock", "static", "log", "run", "beat"}


class RestoreRefused(RuntimeError):
    """Nothing was restored; the text says why."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back, and which keys are not there that open it."""

    made_at: str
    keys_missing: tuple[str, ...]


def restore_backup(
    embedded: Embedded, *, originals: Path, keyring: Path, folder: Path, say: Say
) -> Restored:
    """Verify a backup and copy it to its places; raise RestoreRefused, BackupFailed, DataDirBusy.

    Serves nothing and starts nothing. Cut off half-way it leaves folders named *.new, which the next one removes.
    """
    manifest = read_manifest(folder)
    lock = DataDirLock(embedded.data_dir)
    lock.acquire(address="restoring")
    try:
        _require_empty(embedded, originals)
        _require_secrets(embedded, manifest)
        _require_room(embedded, folder)
        say("checking the backup …")
        verify_files(folder, manifest["files"])
        verify_database(folder / POSTGRES)
        say("copying originals …")
        _copy(folder / ORIGINALS, originals, account=None)
        say("copying the database …")
        account = postgres_account(embedded.postgres_dir)
        _copy(folder / POSTGRES, embedded.postgres_dir, account=account)
        # Only now, so that whoever is killed before leaves nothing that stands in the next one's way.
        _put(originals)
        # Last: a data directory without it is not started from.
        _put(embedded.postgres_dir)
    except OSError as error:
        raise RestoreRefused(f"it could not be copied: {error.strerror}") from error
    finally:
        lock.release()
    present = {path.name for path in keyring.glob("*")}
    missing = tuple(name for name in manifest["keyring"] if name not in present)
    return Restored(str(manifest["made_at"]), missing)


def _require_empty(embedded: Embedded, originals: Path) -> None:
    there = {path.name for path in embedded.data_dir.iterdir() if not path.name.endswith(".new")}
    foreign = sorted(there - BROUGHT - HARMLESS)
    if foreign:
        raise RestoreRefused(
            f"{embedded.data_dir} is not empty: it holds {', '.join(foreign)}. Set AMBIT_DATA_DIR to an empty folder;"
            " the keyring, tombstones, audit copies and secrets.json may be in it"
        )
    if originals.exists() and any(originals.iterdir()):
        raise RestoreRefused(f"{originals} is not empty")


def _require_secrets(embedded: Embedded, manifest: dict[str, Any]) -> None:
    # Asked for, the secrets would be made.
    if not (embedded.data_dir / "secrets.json").exists():
        raise RestoreRefused(
            f"secrets.json is not in {embedded.data_dir}: bring the one that belongs to this backup"
        )
    if secrets_of(embedded) != manifest["secrets"]:
        raise RestoreRefused(
            f"{embedded.data_dir / 'secrets.json'} is not the file that belongs to this backup: bring that one."
            " Without it nothing starts and no API key is known"
        )


def _require_room(embedded: Embedded, folder: Path) -> None:
    needed, free = size_of(folder), shutil.disk_usage(embedded.data_dir).free
    if free < needed:
        raise BackupFailed(
            f"{embedded.data_dir} has room for {megabytes(free)}; {megabytes(needed)} are needed"
        )


def _copy(source: Path, target: Path, *, account: Account | None) -> None:
    """Copy a folder beside its place; _put() brings it there, so that it is there whole or not at all."""
    fresh = _beside(target)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, symlinks=True)
    fresh.chmod(0o700)
    if account is not None:
        for at, folders, names in os.walk(fresh):
            for name in (*folders, *names):
                os.chown(Path(at) / name, account.uid, account.gid, follow_symlinks=False)
        os.chown(fresh, account.uid, account.gid)
    os.sync()


def _put(target: Path) -> None:
    if target.is_dir():
        target.rmdir()
    _beside(target).rename(target)
    os.sync()


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.new")
