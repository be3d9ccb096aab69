"""Make an operator's API key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from tenants.services import create_operator_key


class Command(BaseCommand):
    help = "Print a new operator key, shown this once, and nothing else."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="where it is used")

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not name or len(name) > 200:
            raise CommandError("--name takes 1 to 200 characters")
        try:
            self.stdout.write(create_operator_key(name=name))
        except OperationalError as error:
            raise CommandError(
                f"No database answers for {settings.AMBIT_DATA_DIR}: start `make serve` first, "
                "or set AMBIT_DATA_DIR to the folder it runs on."
            ) from error
