"""Back up the database and the originals of an installation on one machine."""

from __future__ import annotations

from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError
from django.utils import timezone

from ambit.config.env import env_str
from ambit.config.runtime.backup import (
    Source,
    database_running,
    require_room,
    take_backup,
)
from ambit.config.runtime.basebackup import BackupFailed
from ambit.config.runtime.lock import DataDirBusy
from ambit.erasure.tombstones import faults
from ambit.tombstones.register import Backup, RegisterUnusable, register

# A century: what is meant for ever is nothing that a receipt can name a date for.
MOST_DAYS = 36_500


class Command(BaseCommand):
    help = (
        "Copy the embedded Postgres and the originals into a new folder, check the copy and write down until when it "
        "is kept. The keyring, the ledger of tombstones and secrets.json are NOT in it: keep them elsewhere. "
        "deploy/backup.md says more."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to", metavar="DIR", type=Path, help="default: backups in the data directory"
        )
        parser.add_argument(
            "--keep-days", type=int, help="days until it expires; default: AMBIT_BACKUP_KEEP_DAYS"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_embedded()
        source = Source(
            embedded=settings.EMBEDDED,
            originals=settings.AMBIT_ORIGINALS_DIR,
            keyring=settings.AMBIT_KEYRING_DIR,
            version=metadata.version("ambit"),
        )
        target = (options["to"] or source.embedded.backups_dir).resolve()
        given = options["keep_days"]
        days = settings.AMBIT_BACKUP_KEEP_DAYS if given is None else given
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--keep-days takes a whole number from 1 to {MOST_DAYS}")
        now = timezone.now()
        name = f"ambit-{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"
        kept = Backup(name, str(target), now, now + timedelta(days=days), "begun")
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_room(source, target)
            # Before its first byte: an erasure that ends meanwhile must know of it.
            register(kept)
            with database_running(source.embedded, self.stdout.write):
                _require_replayed()
                made = take_backup(
                    source, target, name=name, expires_at=kept.expires_at, say=self.stdout.write
                )
            register(kept.now("whole"))
        except (BackupFailed, RegisterUnusable, DataDirBusy, OSError) as error:
            if not (target / name).exists():
                register(kept.now("gone"))
            raise CommandError(f"no backup was made: {error}") from None
        self.stdout.write(
            f"{made}: kept until {kept.expires_at:%Y-%m-%d}, then deleted by expire_backups"
        )
        self.stdout.write(
            "NOT in it, keep each elsewhere: "
            f"{settings.AMBIT_KEYRING_DIR}, {settings.AMBIT_TOMBSTONES_DIR}, secrets.json of the data directory"
        )


def _require_replayed() -> None:
    """Raise BackupFailed where a restored system brought back what receipts say expires with its old backup."""
    try:
        found = faults(whole=False)
    except ProgrammingError:
        # Of a version before the ledger, not migrated yet.
        return
    if found:
        raise BackupFailed("; ".join(found))


def require_embedded() -> None:
    """Raise CommandError where the database is not the embedded one."""
    if settings.PRODUCTION or env_str("DATABASE_URL"):
        raise CommandError(
            "this command copies the embedded database. With DATABASE_URL, back up with Postgres' or your provider's"
            " own tools and set AMBIT_OTHER_BACKUPS_KEEP_DAYS; after a restore run `manage.py replay_tombstones`"
        )
