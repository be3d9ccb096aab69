"""Make the first operator's sign-in, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ambit.config.bootstrap import ensure_first_operator


class Command(BaseCommand):
    help = "Print the one-time password of a new operator account, or nothing where accounts exist."
    requires_system_checks = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        password = ensure_first_operator()
        if password is not None:
            self.stdout.write(password)
