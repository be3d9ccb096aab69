"""Celery's view of the work: claim a job, make one call, deal with its failure. No logic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError, close_old_connections
from redis import RedisError

from ambit.corpus.graphs import AlreadyArranging, arrange_graphs
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable
from ambit.jobs.broker import ARRANGE_GRAPHS, KEEP_USES, RUN_JOB
from ambit.jobs.kinds import (
    CHECKPOINT_NOTICE,
    ERASE,
    ERASURE_ALARM,
    EXPORT,
    EXPORT_END,
    INGEST_VERSION,
    NOTICE,
    OFFBOARD,
    PLACE_ADAPTER,
    REMOVE_CONVERSATION,
    REMOVE_DOCUMENT,
    RETENTION,
)
from ambit.jobs.services import Claim, ClaimLost, claim, kept, put_back, send_due
from ambit.keys.keyring import KeyUnavailable
from ambit.metering.upkeep import keep_uses
from tenants.audit import Actor, acting_as
from workers.adapters.flow import place
from workers.erase import flow as erase_flow
from workers.erase.forget import forget
from workers.erase.remind import remind
from workers.erase.retain import retain
from workers.export import flow as export_flow
from workers.ingest import flow as ingest_flow
from workers.notify.flow import notify, tell_checkpoint
from workers.offboard.flow import offboard

logger = logging.getLogger(__name__)

HANDLERS: dict[str, Callable[[Claim], None]] = {
    INGEST_VERSION.name: ingest_flow.ingest,
    REMOVE_DOCUMENT.name: erase_flow.remove,
    REMOVE_CONVERSATION.name: forget,
    ERASE.name: erase_flow.erase,
    OFFBOARD.name: offboard,
    ERASURE_ALARM.name: remind,
    RETENTION.name: retain,
    EXPORT.name: export_flow.export,
    EXPORT_END.name: export_flow.end,
    NOTICE.name: notify,
    CHECKPOINT_NOTICE.name: tell_checkpoint,
    PLACE_ADAPTER.name: place,
}
GIVE_UP: dict[str, Callable[[Claim], None]] = {
    INGEST_VERSION.name: ingest_flow.give_up,
    EXPORT.name: export_flow.give_up,
}
MAX_DELAY_S = 300.0
# Something else is down or set up wrongly: the job waits for it, and that is no fault of its object.
ELSEWHERE = (EmbeddingUnavailable, EmbeddingRefused, KeyUnavailable, InterfaceError)
# Postgres' classes of errors that are its own state, not the statement's: connection, rollback,
# resources, intervention.
POSTGRES_STATES = ("08", "40", "53", "57")
ELSEWHERE_DELAY_S = 5.0


@shared_task(name=RUN_JOB)
def run_job(*, tenant_id: str, job_id: str) -> None:
    """Do one job if it is due and nobody else does it; the sweep comes back to what fails."""
    try:
        with _connections():
            held = claim(tenant_id=UUID(tenant_id), job_id=UUID(job_id))
            if held is None:
                return
            error = _do(held)
            # Outside the handler, so that nothing that is raised here carries the error's words along.
            if error is not None:
                _put_back(held, error)
    except (OperationalError, InterfaceError) as unavailable:
        # A lease that was taken runs out by itself.
        names = {"job_id": job_id, "error": type(unavailable).__name__}
        logger.warning("jobs.database_unavailable", extra=names)


@contextmanager
def _connections() -> Iterator[None]:
    """Give the block's connections back to the pool at its end, as Django does after a request."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _do(held: Claim) -> Exception | None:
    names = _names(held)
    try:
        with kept(held), acting_as(Actor("worker", None)):
            if held.attempt > held.kind.attempts and held.kind.name in GIVE_UP:
                GIVE_UP[held.kind.name](held)
            else:
                HANDLERS[held.kind.name](held)
    except ClaimLost:
        logger.warning("jobs.claim_lost", extra=names)
    except Exception as error:  # noqa: BLE001 - the process's outermost edge
        return error
    else:
        logger.info("jobs.done", extra=names)
    return None


def _put_back(held: Claim, error: Exception) -> None:
    # The error's words may quote a document or a statement's values: its type alone is logged.
    names = _names(held) | {"error": type(error).__name__}
    if _is_elsewhere(error):
        put_back(held, delay_s=ELSEWHERE_DELAY_S, counted=False)
        logger.warning("jobs.waiting", extra=names)
        return
    delay_s = min(MAX_DELAY_S, 2.0 ** min(held.attempt, 10))
    put_back(held, delay_s=delay_s)
    logger.error("jobs.failed", extra=names | {"retry_s": delay_s})


def _is_elsewhere(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        state = getattr(error.__cause__, "sqlstate", None)
        return state is None or state.startswith(POSTGRES_STATES)
    return isinstance(error, ELSEWHERE)


def _names(held: Claim) -> dict[str, object]:
    return {"job_id": str(held.job_id), "job": held.kind.name, "attempt": held.attempt}


@shared_task(name="ambit.send_due")
def send_due_jobs() -> None:
    """Tell workers about jobs whose first message was lost or whose worker died."""
    try:
        with _connections():
            sent = send_due()
    except (OperationalError, InterfaceError, RedisError) as error:
        logger.warning("jobs.sweep_failed", extra={"error": type(error).__name__})
        return
    if sent:
        logger.info("jobs.sent", extra={"n_jobs": sent})


@shared_task(name=ARRANGE_GRAPHS)
def arrange_vector_graphs() -> None:
    """Give big tenants a vector graph of their own; needs the roles of owner and operator."""
    try:
        with _connections():
            arrange_graphs()
    except (AlreadyArranging, OperationalError, InterfaceError) as error:
        logger.warning("graphs.not_arranged", extra={"error": type(error).__name__})


@shared_task(name=KEEP_USES)
def keep_uses_of_tenants() -> None:
    """Close the uses of models that processes left open when they died, and delete old single ones."""
    try:
        with _connections():
            kept = keep_uses()
    except (OperationalError, InterfaceError) as error:
        logger.warning("metering.uses_not_kept", extra={"error": type(error).__name__})
        return
    if kept.n_abandoned or kept.n_forgotten:
        logger.info(
            "metering.uses_kept",
            extra={"n_abandoned": kept.n_abandoned, "n_forgotten": kept.n_forgotten},
        )
