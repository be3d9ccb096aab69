"""Add, claim, keep and finish work. A claim is a lease: a silent worker's job goes to another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ambit.jobs.broker import send, waiting
from ambit.jobs.kinds import KINDS, QUEUES, RETENTION, JobKind
from ambit.jobs.models import Job
from tenants.scope import current_tenant_id, tenant_scope

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3


class ClaimLost(RuntimeError):
    """The lease ran out and another worker may have the job: stop, and change nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to do one job until its lease runs out."""

    tenant_id: UUID
    job_id: UUID
    lease: UUID
    kind: JobKind
    object_id: UUID
    attempt: int


def enqueue(kind: JobKind, *, object_id: UUID, run_after: datetime | None = None) -> None:
    """Add work in the transaction in scope, and tell a worker once that is committed.

    run_after: when it is due; the sweep tells a worker then. Work that is there already is left as it is.
    """
    tenant_id = current_tenant_id()
    now = timezone.now()
    job, _ = Job.objects.get_or_create(
        tenant_id=tenant_id,
        name=kind.name,
        object_id=object_id,
        defaults={"run_after": run_after or now},
    )
    if run_after is not None and run_after > now:
        return
    tell = partial(send, tenant_id=tenant_id, job_id=job.pk, queue=kind.queue)
    transaction.on_commit(tell, robust=True)


def hurry(kind: JobKind, *, object_id: UUID) -> None:
    """Add work, or have what waits for another try begin at once, in the transaction in scope."""
    waiting_for_its_time = Job.objects.filter(name=kind.name, object_id=object_id, lease=None)
    waiting_for_its_time.update(run_after=timezone.now(), attempts=0)
    enqueue(kind, object_id=object_id)


def due_at(kind: JobKind, *, object_id: UUID) -> datetime | None:
    """Return when work is to be done; None where there is none."""
    found = Job.objects.filter(name=kind.name, object_id=object_id)
    return found.values_list("run_after", flat=True).first()


def bring_forward(kind: JobKind, *, object_id: UUID, to: datetime, from_after: datetime) -> None:
    """Let work that nobody does now, and that is due only after a moment, be due at another one."""
    waits = Job.objects.filter(name=kind.name, object_id=object_id, lease=None)
    waits.filter(run_after__gt=from_after).update(run_after=to)


def cancel(kind: JobKind, *, object_id: UUID) -> None:
    """Take work off the table that need not be done any more, in the caller's transaction."""
    Job.objects.filter(name=kind.name, object_id=object_id).delete()


def claim(*, tenant_id: UUID, job_id: UUID) -> Claim | None:
    """Take a job that is due and that nobody holds; None when there is none."""
    now = timezone.now()
    lease = uuid4()
    with tenant_scope(tenant_id):
        free = Q(leased_until__isnull=True) | Q(leased_until__lt=now)
        job = (
            Job.objects.select_for_update(skip_locked=True)
            .filter(free, pk=job_id, run_after__lte=now)
            .first()
        )
        if job is None:
            return None
        Job.objects.filter(pk=job_id).update(
            lease=lease, leased_until=_lease_end(now), attempts=job.attempts + 1
        )
    return Claim(
        tenant_id=tenant_id,
        job_id=job_id,
        lease=lease,
        kind=KINDS[job.name],
        object_id=job.object_id,
        attempt=job.attempts + 1,
    )


def keep(held: Claim) -> None:
    """Renew the lease; raise ClaimLost when it is another's by now."""
    with tenant_scope(held.tenant_id):
        hold(held)


def hold(held: Claim) -> None:
    """Renew the lease in the caller's transaction, to whose end nobody else gets the job.

    Raises ClaimLost when it is another's by now.
    """
    if not _held(held).update(leased_until=_lease_end(timezone.now())):
        raise ClaimLost(f"job {held.job_id} was given to another worker")


@contextmanager
def kept(held: Claim) -> Iterator[None]:
    """Renew the lease from a thread until the block ends: only a worker that died or froze loses it.

    Without it a step that takes longer than a lease, such as embedding on a busy machine, would be
    begun by one worker after another and ended by none.
    """
    over = threading.Event()
    beats = threading.Thread(target=_beat_until, args=(over, held), name="lease", daemon=True)
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()


def _beat_until(over: threading.Event, held: Claim) -> None:
    try:
        while not over.wait(settings.AMBIT_JOB_LEASE_S / BEATS_PER_LEASE):
            try:
                keep(held)
            except ClaimLost:
                # Done, or another's: the worker itself learns it where it writes.
                return
            except (OperationalError, InterfaceError) as error:
                names = {"job_id": str(held.job_id), "error": type(error).__name__}
                logger.warning("jobs.lease_not_renewed", extra=names)
    finally:
        connections.close_all()


def finish(held: Claim) -> None:
    """Take the job off the table, in the caller's transaction; raise ClaimLost."""
    deleted, _ = _held(held).delete()
    if not deleted:
        raise ClaimLost(f"job {held.job_id} was given to another worker")


def put_back(held: Claim, *, delay_s: float, counted: bool = True) -> None:
    """Give the job back to be tried again after a delay in seconds.

    counted: whether this try counts against the job; not where something else was down.
    """
    run_after = timezone.now() + timedelta(seconds=delay_s)
    with tenant_scope(held.tenant_id):
        attempts = held.attempt if counted else held.attempt - 1
        _held(held).update(lease=None, leased_until=None, run_after=run_after, attempts=attempts)


def send_due(*, limit: int = 500) -> int:
    """Tell workers about work that is due and that nobody does; return how many jobs.

    Runs as the dispatcher, which sees the job table of all tenants and nothing else. Only a queue
    that has run empty is filled, so that a backlog is not sent over and over.
    """
    idle = [queue for queue in QUEUES if not waiting(queue)]
    names = [kind.name for kind in KINDS.values() if kind.queue in idle]
    with connections["dispatch"].cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id, id, name FROM jobs_job WHERE run_after <= now()"
            " AND (leased_until IS NULL OR leased_until < now()) AND name = ANY (%s)"
            " ORDER BY run_after LIMIT %s",
            [names, limit],
        )
        rows = cursor.fetchall()
    return sum(send(tenant_id=t, job_id=j, queue=KINDS[name].queue) for t, j, name in rows)


def tenants_with_rounds(*, using: str) -> list[UUID]:
    """Return the tenants that have rounds of retention to come, as the dispatcher."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM jobs_job WHERE name = %s", [RETENTION.name])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _held(held: Claim) -> QuerySet[Job]:
    return Job.objects.filter(pk=held.job_id, lease=held.lease)


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.AMBIT_JOB_LEASE_S)
