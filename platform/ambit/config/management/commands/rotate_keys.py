"""Give tenants new wrapping keys, and destroy the old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ambit.corpus.canary import CANARY_TENANT
from ambit.keys.durable import ChangedByAnother, alone
from ambit.keys.store import KeyUnavailable
from ambit.rotation.flow import SEEN_BY_ALL_S, StillInUse, retire, rotate
from tenants.audit import Actor, acting_as
from tenants.queries import OPERATOR, list_slugs


class Command(BaseCommand):
    help = (
        "Give every tenant, or one, a new wrapping key and wrap each data key by it, while uploads, searches and "
        "erasures go on. Stopped at any point, the next run ends what that one began; any other run makes a new key. "
        "With --retire the older keys are destroyed afterwards, in the same run: what they wrapped in backups made "
        "before never opens again, unless with a copy of the keyring from before. Ends with 1 where a tenant's keys "
        "could not be had or something does not open; the other tenants are done all the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="this tenant alone")
        parser.add_argument(
            "--retire",
            action="store_true",
            help="destroy old wrapping keys under which nothing lies any more",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=SEEN_BY_ALL_S,
            metavar="SECONDS",
            help="how long after a new key an old one is kept, so that every machine that shares the keyring has "
            "seen the new one (default %(default)s); 0 where all processes run on one machine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if OPERATOR not in settings.DATABASES:
            raise CommandError("Set AMBIT_OPERATOR_DATABASE_URL: it lists the tenants.")
        tenants = list_slugs(slug=options["tenant"])
        tenants.pop(CANARY_TENANT, None)
        if options["tenant"] and not tenants:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        folder = Path(settings.AMBIT_KEYRING_DIR)
        if not folder.is_dir():
            raise CommandError(f"The folder of the keyring is not there: {folder}")
        try:
            with alone(folder), acting_as(Actor("operator", None)):
                failed = self._rotate(tenants)
                if options["retire"]:
                    done = {one: slug for one, slug in tenants.items() if one not in failed}
                    failed |= self._retire(done, wait_s=options["wait"])
        except ChangedByAnother as error:
            raise CommandError(f"{error}: let it end.") from error
        if failed:
            raise CommandError(f"{len(failed)} of {len(tenants)} tenants are not done; see above.")

    def _rotate(self, tenants: dict[UUID, str]) -> set[UUID]:
        failed = set()
        for tenant_id, slug in tenants.items():
            try:
                done = rotate(tenant_id)
            except (KeyUnavailable, StillInUse) as error:
                failed.add(tenant_id)
                self.stderr.write(f"{slug}: {error}")
                continue
            if not done.version:
                self.stdout.write(f"{slug}: no keys, and nothing that needs any")
                continue
            self.stdout.write(f"{slug}: key {done.version}, {done.n_rewrapped} data keys wrapped")
            if done.n_unopened:
                failed.add(tenant_id)
                self.stderr.write(
                    f"{slug}: {done.n_unopened} data keys do not open: altered, or their key is lost"
                )
        return failed

    def _retire(self, tenants: dict[UUID, str], *, wait_s: float) -> set[UUID]:
        failed = set()
        for tenant_id, slug in tenants.items():
            try:
                gone = retire(tenant_id, seen_by_all_s=wait_s)
            except (KeyUnavailable, StillInUse) as error:
                failed.add(tenant_id)
                self.stderr.write(f"{slug}: old keys are kept: {error}")
                continue
            if gone:
                self.stdout.write(f"{slug}: destroyed key {', '.join(str(n) for n in gone)}")
        return failed
