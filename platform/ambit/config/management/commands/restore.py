"""Bring a backup back into an empty data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ambit.config.management.commands.backup import require_embedded
from ambit.config.runtime.account import AccountMissing
from ambit.config.runtime.basebackup import BackupFailed
from ambit.config.runtime.lock import DataDirBusy
from ambit.config.runtime.restore import Restored, RestoreRefused, restore_backup
from ambit.tombstones import ledger, register


class Command(BaseCommand):
    help = (
        "Check a backup made by `manage.py backup` and copy it into AMBIT_DATA_DIR, which holds nothing but what you "
        "brought: secrets.json, and if you have them there the keyring, the tombstones and the audit copies. "
        "Afterwards bring what it names, run replay_tombstones, and serve."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="the backup's folder")

    def handle(self, *args: Any, **options: Any) -> None:
        require_embedded()
        try:
            restored = restore_backup(
                settings.EMBEDDED,
                originals=settings.AMBIT_ORIGINALS_DIR,
                keyring=settings.AMBIT_KEYRING_DIR,
                folder=options["folder"].resolve(),
                say=self.stdout.write,
            )
        except (RestoreRefused, BackupFailed, DataDirBusy, AccountMissing) as error:
            raise CommandError(f"nothing was restored: {error}") from None
        self._tell(restored)

    def _tell(self, restored: Restored) -> None:
        self.stdout.write(f"Restored as of {restored.made_at}. Nothing is served yet. Now:")
        missing = restored.keys_missing
        keyring = (
            f"bring the keyring to {settings.AMBIT_KEYRING_DIR}: {len(missing)} keys are not there"
        )
        self.stdout.write(f"1. {keyring if missing else 'the keyring is there'}")
        place = ledger.folder() / ledger.FILE
        words = (
            "is there: make sure that it is the newest copy"
            if place.exists()
            else "bring the newest copy"
        )
        self.stdout.write(
            f"2. the ledger of tombstones, {place}: {words}, with {register.FILE}, the register of backups, beside it"
        )
        self.stdout.write("3. manage.py replay_tombstones, which hides again what was erased since")
        self.stdout.write(
            "4. read in deploy/backup.md what else comes back: grants, members, keys, restrictions; then serve"
        )
