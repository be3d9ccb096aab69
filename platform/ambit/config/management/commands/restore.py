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
        ended = _ended()
        missing = [name for name in restored.keys_missing if name not in ended]
        keyring = (
            f"bring the keyring to {settings.AMBIT_KEYRING_DIR}: {len(missing)} keys are not there"
            if missing
            else "the keyring is there"
        )
        # A file may be there without the version of then, which only opens, or does not.
        self.stdout.write(
            f"1. {keyring}. Were keys retired since (rotate_keys --retire), what they wrapped opens with the keyring"
            " of then alone"
        )
        if len(missing) < len(restored.keys_missing):
            self.stdout.write(
                f"   {len(restored.keys_missing) - len(missing)} keys were destroyed with their tenants: do not"
                " bring them back"
            )
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


def _ended() -> frozenset[str]:
    """Return the names of keyring files that went with their tenants, as far as the ledger is here and says so."""
    try:
        lines = ledger.read_after(ledger.NOWHERE)
    except ledger.LedgerUnusable:
        return frozenset()
    said = (line.tombstone for line in lines)
    return frozenset(f"{one.tenant_id}.json" for one in said if one.kind == "tenant")
