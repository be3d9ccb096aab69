"""Number, sign and copy audit events until stopped."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from ambit.audit.bucket import Bucket, BucketFailed, BucketUnfit, the_bucket
from ambit.audit.flow import keep_trail
from ambit.audit.storing import Keeper, forget

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Give audit events their numbers, sign each tenant's log, copy what was signed to AMBIT_AUDIT_COPIES_DIR (and "
        "to the bucket AMBIT_AUDIT_S3_BUCKET, which must have object lock) and erase the values of old events, every "
        "AMBIT_AUDIT_INTERVAL_S seconds. Runs until SIGTERM."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round, and say what it did")

    def handle(self, *args: Any, **options: Any) -> None:
        bucket = _fit_bucket()
        keeper = Keeper(bucket, settings.AMBIT_AUDIT_INTERVAL_S) if bucket else None
        if options["once"]:
            self._keep_once(keeper)
            return
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        with _storing(keeper, stopped):
            while not stopped.wait(settings.AMBIT_AUDIT_INTERVAL_S):
                _keep()

    def _keep_once(self, keeper: Keeper | None) -> None:
        done = keep_trail()
        self.stdout.write(
            f"{done.n_events} events numbered, {done.n_checkpoints} checkpoints signed, "
            f"{done.n_copied} copied, values of {done.n_erased} events erased"
        )
        if keeper is None:
            return
        stored = keeper.go_round()
        self.stdout.write(f"{stored.n_copied} put into the bucket")
        if stored.fault:
            raise CommandError(
                f"The bucket took not all: {stored.fault}; {stored.n_behind} tenants wait."
            )


def _fit_bucket() -> Bucket | None:
    """Return the bucket, if one is set; raise CommandError where it cannot keep anybody from rewriting copies."""
    try:
        bucket = the_bucket()
        if bucket is None:
            forget()
        else:
            bucket.require_lock()
    except BucketUnfit as error:
        raise CommandError(str(error)) from error
    except BucketFailed as error:
        # It may be back soon, and signing waits for no bucket.
        logger.error("audit.bucket_silent", extra={"fault": error.fault})  # noqa: TRY400
    return bucket


@contextmanager
def _storing(keeper: Keeper | None, stopped: threading.Event) -> Iterator[None]:
    """Have copies put into the bucket beside the block: a bucket that is slow must not keep events unsigned."""
    if keeper is None:
        yield
        return
    copying = threading.Thread(target=keeper.run, args=(stopped,), name="bucket", daemon=True)
    copying.start()
    try:
        yield
    finally:
        stopped.set()
        copying.join(timeout=5)


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
