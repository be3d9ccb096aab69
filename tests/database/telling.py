"""Register receivers, make things happen that they are told, and tell them as a worker would."""

from __future__ import annotations

import os
from uuid import UUID

from django.utils import timezone

from ambit.jobs.kinds import NOTICE
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim
from ambit.notices.queries import notices_of
from ambit.notices.services import announce, create_webhook
from ambit.notices.types import CASES, NoticeView
from tests.database.erasures import (
    keep_from_workers,
)
from tests.database.receiving import Receiver
from tests.database.worlds import working
from workers.notify.flow import notify


def subscribe(tenant_id: UUID, receiver: Receiver, *events: str) -> tuple[UUID, str]:
    """Register a receiver; return the webhook's id and secret."""
    with working(tenant_id):
        made = create_webhook(name="Archive Ltd", url=receiver.url, events=events or CASES)
    return made.webhook.id, made.secret


def post(tenant_id: UUID, *, tries: int = 1) -> None:
    """Do the tenant's notices as a worker would, each once, or so many times."""
    for _ in range(tries):
        for held in claims(tenant_id):
            notify(held)
    with working(tenant_id):
        keep_from_workers()


def claims(tenant_id: UUID) -> list[Claim]:
    """Claim the tenant's notices without waiting for delays or leases."""
    with working(tenant_id):
        jobs = Job.objects.filter(name=NOTICE.name)
        jobs.update(run_after=timezone.now(), lease=None, leased_until=None)
        found = [claim(tenant_id=tenant_id, job_id=job.pk) for job in jobs.order_by("pk")]
    return [one for one in found if one is not None]


def happen(tenant_id: UUID, *, documents: tuple[UUID, ...] = ()) -> UUID:
    """Announce the end of a made-up case; return its id."""
    case_id = UUID(bytes=os.urandom(16))
    with working(tenant_id):
        announce("document.erased", object_id=case_id, document_ids=documents or (case_id,))
        keep_from_workers()
    return case_id


def told(tenant_id: UUID, case_id: UUID) -> NoticeView:
    """Return the one notice of a case."""
    with working(tenant_id):
        (found,) = notices_of(case_id)
    return found
