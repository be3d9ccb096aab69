"""Hide again what was erased since a backup, after it was restored."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from ambit.config.env import env_str
from ambit.config.runtime.backup import database_running
from ambit.config.runtime.lock import DataDirBusy
from ambit.erasure.replay import replay_tombstones
from ambit.erasure.tombstones import DISPATCH
from ambit.keys.keyring import KeyUnavailable
from ambit.tombstones import ledger
from ambit.tombstones.ledger import LedgerUnusable


class Command(BaseCommand):
    help = (
        "After a backup was restored: hide again everything that the ledger of tombstones says was erased or deleted "
        "since, and hand it to the workers. The web server does not start before. Run it as the workers are run; it "
        "may be repeated, and says how much there was to do."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if DISPATCH not in settings.DATABASES:
            raise CommandError("set AMBIT_DISPATCH_DATABASE_URL, as for the workers")
        try:
            with self._database() as is_ours:
                if is_ours:
                    # It may be a backup of an older version.
                    call_command("migrate", database="owner", interactive=False, stdout=self.stderr)
                done = replay_tombstones(self.stdout.write)
        except LedgerUnusable as error:
            place = ledger.folder() / ledger.FILE
            raise CommandError(
                f"the ledger of tombstones, {place}, cannot be used: {error}"
            ) from None
        except KeyUnavailable as error:
            raise CommandError(
                f"{error}: bring the keyring to {settings.AMBIT_KEYRING_DIR}"
            ) from None
        except DataDirBusy as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{done.n_erasures} erasures and {done.n_deletions} deletions are hidden again and handed to the workers; "
            f"{done.n_tenants} tenants that were off-boarded end again; {done.n_known} were known. "
            "Erasures do not stand against serving any more. First place again what deploy/backup.md names: holds and "
            "restrictions, grants, members and keys are as they were when the backup was made."
        )

    def _database(self) -> AbstractContextManager[bool]:
        if settings.PRODUCTION or env_str("DATABASE_URL"):
            return nullcontext(enter_result=False)
        if not settings.EMBEDDED.postgres_dir.exists():
            raise CommandError(
                f"There is no database in {settings.EMBEDDED.data_dir}: set AMBIT_DATA_DIR to the folder that"
                " `restore` filled."
            )
        return database_running(settings.EMBEDDED, self.stdout.write)
