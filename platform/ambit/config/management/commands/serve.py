"""Run Ambit and all its parts in the foreground."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Run Postgres, Redis, embeddings, worker, beat and web server here until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="default: AMBIT_PORT or 8000")

    def handle(self, *_args: Any, **options: Any) -> NoReturn:
        command = [sys.executable, "-m", "ambit.config.runtime"]
        if options["port"] is not None:
            command += ["--port", str(options["port"])]
        # In place of this process: the supervisor needs no Django and stays small.
        os.execv(sys.executable, command)  # noqa: S606 - a fixed argument list, never a shell
