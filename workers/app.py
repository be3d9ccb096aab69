"""The Celery application: `celery -A workers.app worker`."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import django
from celery import Celery
from celery.signals import worker_ready
from celery.worker.control import inspect_command
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ambit.config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - settings exist once Django is set up

from ambit.jobs.broker import ARRANGE_GRAPHS, KEEP_USES, MAY_SCRUB, broker_url  # noqa: E402
from ambit.jobs.kinds import QUEUES  # noqa: E402
from ambit.scrub.flow import SCRUBBER  # noqa: E402

logger = logging.getLogger(__name__)

# Where the worker may act as the owner of the tables, as under `make serve`; elsewhere cron runs
# `manage.py arrange_graphs`.
ARRANGING = (
    {
        "arrange-graphs": {
            "task": ARRANGE_GRAPHS,
            "schedule": 3600.0,
            "options": {"expires": 600},
        }
    }
    if {"owner", "operator"} <= settings.DATABASES.keys()
    else {}
)

app = Celery("ambit", broker=broker_url())
app.conf.update(
    # Messages hold ids, and results nothing: the job table is the truth.
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=500,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_soft_shutdown_timeout=20,
    broker_connection_retry_on_startup=True,
    # Celery would close the process's connection pool around every task: half of what Postgres did
    # for small documents was logging workers in. The tasks give their connections back themselves.
    CELERY_DB_REUSE_MAX=sys.maxsize,
    broker_transport_options={
        "queue_order_strategy": "priority",
        # A message is only a trigger, and the lease on its job decides who works.
        "visibility_timeout": 3600,
    },
    task_queues=[Queue(name) for name in QUEUES],
    task_default_queue="upkeep",
    timezone="UTC",
    beat_schedule={
        "send-due-jobs": {
            "task": "ambit.send_due",
            "schedule": max(1.0, min(5.0, settings.AMBIT_JOB_LEASE_S / 4)),
            "options": {"expires": 30},
        },
        "keep-uses": {"task": KEEP_USES, "schedule": 60.0, "options": {"expires": 60}},
        **ARRANGING,
    },
)
app.autodiscover_tasks(["workers"], force=True)


@inspect_command(name=MAY_SCRUB)
def may_scrub(_state: Any) -> dict[str, bool]:
    """Say whether this worker has the login that rewrites tables."""
    return {MAY_SCRUB: SCRUBBER in settings.DATABASES}


@worker_ready.connect
def say_what_is_missing(**_: Any) -> None:
    """Say at the start what no erasure closes without, where no other worker has it."""
    if SCRUBBER not in settings.DATABASES:
        logger.warning("scrub.no_login", extra={"variable": "AMBIT_SCRUBBER_DATABASE_URL"})
