"""Celery's view of the work: claim a job, make one call, deal with its failure. No logic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from celery import shared_task
from django.db import OperationalError

from ambit.inference.embedding import EmbeddingUnavailable
from ambit.jobs.broker import RUN_JOB
from ambit.jobs.kinds import ERASE, INGEST_VERSION, REMOVE_DOCUMENT
from ambit.jobs.services import Claim, ClaimLost, claim, put_back, send_due
from ambit.keys.keyring import KeyUnavailable
from tenants.audit import Actor, acting_as
from workers.erase import flow as erase_flow
from workers.ingest import flow as ingest_flow

logger = logging.getLogger(__name__)

HANDLERS: dict[str, Callable[[Claim], None]] = {
    INGEST_VERSION.name: ingest_flow.ingest,
    REMOVE_DOCUMENT.name: erase_flow.remove,
    ERASE.name: erase_flow.erase,
}
GIVE_UP: dict[str, Callable[[Claim], None]] = {INGEST_VERSION.name: ingest_flow.give_up}
MAX_DELAY_S = 300.0
# Something else is down: the job waits for it, and that is no fault of the document.
ELSEWHERE = (EmbeddingUnavailable, KeyUnavailable, OperationalError)
ELSEWHERE_DELAY_S = 5.0


@shared_task(name=RUN_JOB)
def run_job(*, tenant_id: str, job_id: str) -> None:
    """Do one job if it is due and nobody else does it."""
    held = claim(tenant_id=UUID(tenant_id), job_id=UUID(job_id))
    if held is None:
        return
    names = {"job_id": job_id, "job": held.kind.name, "attempt": held.attempt}
    try:
        with acting_as(Actor("worker", None)):
            if held.attempt > held.kind.attempts and held.kind.name in GIVE_UP:
                GIVE_UP[held.kind.name](held)
            else:
                HANDLERS[held.kind.name](held)
    except ClaimLost:
        logger.warning("jobs.claim_lost", extra=names)
    except ELSEWHERE as error:
        put_back(held, delay_s=ELSEWHERE_DELAY_S, counted=False)
        logger.warning("jobs.waiting", extra=names | {"error": type(error).__name__})
    except Exception as error:  # noqa: BLE001 - the process's outermost edge
        delay_s = min(MAX_DELAY_S, 2.0 ** min(held.attempt, 10))
        put_back(held, delay_s=delay_s)
        # The error's words may quote a document or a statement's values: its type alone is logged.
        logger.error(  # noqa: TRY400
            "jobs.failed", extra=names | {"error": type(error).__name__, "retry_s": delay_s}
        )
    else:
        logger.info("jobs.done", extra=names)


@shared_task(name="ambit.send_due")
def send_due_jobs() -> None:
    """Tell workers about jobs whose first message was lost or whose worker died."""
    sent = send_due()
    if sent:
        logger.info("jobs.sent", extra={"n_jobs": sent})
