"""Plant the rows that the start-up check of isolation looks for."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ambit.config.canary import plant_canary


class Command(BaseCommand):
    help = "Plant the canary tenant's rows; safe to repeat. Run after migrating."

    def handle(self, *args: Any, **options: Any) -> None:
        plant_canary()
        self.stdout.write("The canary is in place.")
