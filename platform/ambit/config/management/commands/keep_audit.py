"""Number, sign and copy audit events until stopped."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from ambit.audit.flow import keep_trail

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Give audit events their numbers, sign each tenant's log, copy what was signed to AMBIT_AUDIT_COPIES_DIR and "
        "erase the values of old events, every AMBIT_AUDIT_INTERVAL_S seconds. Runs until SIGTERM."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round, and say what it did")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            done = keep_trail()
            self.stdout.write(
                f"{done.n_events} events numbered, {done.n_checkpoints} checkpoints signed, "
                f"{done.n_copied} copied, values of {done.n_erased} events erased"
            )
            return
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.wait(settings.AMBIT_AUDIT_INTERVAL_S):
            _keep()


def _keep() -> None:
    """Do one round; what is missing now may be there at the next, and nothing is lost meanwhile."""
    try:
        done = keep_trail()
    except Exception as error:  # noqa: BLE001 - the process's outermost edge; its words may hold values
        logger.error("audit.not_signed", extra={"error": type(error).__name__})  # noqa: TRY400
        connections.close_all()
        return
    if done:
        logger.info(
            "audit.signed",
            extra={
                "n_events": done.n_events,
                "n_checkpoints": done.n_checkpoints,
                "n_copied": done.n_copied,
                "n_erased": done.n_erased,
            },
        )
