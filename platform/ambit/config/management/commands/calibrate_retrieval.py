"""Measure what a scanned row costs on this machine and keep the threshold that follows from it."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ambit.corpus.calibration import calibrate


class Command(BaseCommand):
    help = (
        "Measure what a scanned row costs here, with made-up vectors, and keep up to how many visible "
        "rows a search scans them all. Takes some seconds; run it when nothing else runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="measure and print only")

    def handle(self, *args: Any, **options: Any) -> None:
        found = calibrate()
        kept = {"AMBIT_EXACT_ROWS": found.exact_rows}
        self.stdout.write(f"A scanned row costs {found.scanned_us:.2f} µs.")
        for name, value in kept.items():
            self.stdout.write(f"{name}={value}")
        if options["dry_run"]:
            return
        settings.AMBIT_CALIBRATION.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In its place at once: a process that starts now reads the old figures or the new.
        written = settings.AMBIT_CALIBRATION.with_suffix(".new")
        written.write_text(json.dumps(kept))
        written.replace(settings.AMBIT_CALIBRATION)
        self.stdout.write(
            f"Kept in {settings.AMBIT_CALIBRATION}; the processes that search read it when they start. "
            "Where they do not share this folder, set the variable for them."
        )
