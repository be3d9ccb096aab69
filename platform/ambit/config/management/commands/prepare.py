"""Bring the database up to what this code needs, in one process instead of three."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from ambit.config.restored import NotReplayed, require_replayed
from ambit.erasure.tombstones import DISPATCH, TombstoneBlocked, begin_ledger


class Command(BaseCommand):
    help = (
        "Migrate, plant the canary, begin the ledger of tombstones and make the first administrator. "
        "Prints that account's one-time password when it was made now, and nothing else."
    )
    # The checks ask the database, which may still lack its tables.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", database="owner", interactive=False, stdout=self.stderr)
        call_command("plant_canary", stdout=self.stderr)
        # Before anything else runs: what was erased and is back from a backup is for nobody to see.
        try:
            if DISPATCH in settings.DATABASES:
                begin_ledger()
            require_replayed()
        except (TombstoneBlocked, NotReplayed) as error:
            raise CommandError(str(error)) from None
        call_command("first_operator", stdout=self.stdout)
