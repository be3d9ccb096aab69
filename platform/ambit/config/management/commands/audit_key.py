"""Print the public key of the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ambit.audit.flow import trail_signer
from ambit.keys.keyring import KeyUnavailable


class Command(BaseCommand):
    help = (
        "Print the public key that signs the audit log, and nothing else: for `ambit-verify --key`."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(trail_signer().key)
        except KeyUnavailable as error:
            raise CommandError(
                f"{error}: it is made when the first event is signed, some seconds after the start. "
                "Where events were signed before, restore the keyring from its backup."
            ) from error
