"""Write the program that checks audit trails and receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ambit.audit.program import NAME, verifier_program


class Command(BaseCommand):
    help = "Write the program that checks audit trails and receipts offline; the same source makes the same bytes."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="?", type=Path, default=Path(NAME))

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        path.write_bytes(verifier_program())
        self.stdout.write(str(path))
