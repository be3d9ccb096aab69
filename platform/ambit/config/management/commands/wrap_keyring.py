"""Bring the keyring under the key store that the settings choose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ambit.keys.durable import ChangedByAnother, alone
from ambit.keys.protecting import protect_keyring
from ambit.keys.store import KeyUnavailable


class Command(BaseCommand):
    help = (
        "Bring each file of the keyring under AMBIT_KEY_STORE: from plain files to OpenBao or a KMS, from one of "
        "these to the other while both are set up, or back to plain files. Everything goes on meanwhile; stopped at "
        "any point, the next run goes on. The plain bytes of before are overwritten, which a disk that copies on "
        "write does not do. Ends with 1 where a file could not be moved (the others are), or is not of the keyring."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--again",
            action="store_true",
            help="wrap also what is there already, under the newest version of the store's key",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        counts: Counter[str] = Counter()
        folder = Path(settings.AMBIT_KEYRING_DIR)
        if not folder.is_dir():
            raise CommandError(f"The folder of the keyring is not there: {folder}")
        try:
            with alone(folder):
                for moved in protect_keyring(again=options["again"]):
                    counts[moved.outcome] += 1
                    if moved.why:
                        self.stderr.write(f"{moved.file}: {moved.why}")
        except (ChangedByAnother, KeyUnavailable) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{counts['moved']} files moved to {settings.AMBIT_KEY_STORE}, {counts['there']} were there, "
            f"{counts['failed']} failed, {counts['unknown']} not of the keyring"
        )
        if counts["failed"]:
            raise CommandError("Some files are where they were; see above, and run this again.")
        if counts["unknown"]:
            raise CommandError("Copies of keys may be among the files that were left; see above.")
