"""Command: show everything on a stack of its own and check each outcome."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Play two tenants' story over HTTP on a stack of its own, and check each outcome."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Become the demonstration's own process, which loads neither Django nor these settings."""
        os.execv(sys.executable, [sys.executable, "-m", "ambit.config.demo"])  # noqa: S606 - no shell
