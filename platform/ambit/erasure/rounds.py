"""A round of retention: what a tenant keeps no longer becomes a case of erasure, a bounded part at a time.

From then on it is a case like any other: hidden with the round's commit, destroyed, scrubbed and verified by the
workers, with tombstone and receipt. A round that cannot trust the clock destroys nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from ambit.answers.ages import askers_of
from ambit.corpus.holdings import lock_documents
from ambit.erasure.members import lock_members
from ambit.erasure.models import Erasure, ErasureState, RetentionPolicy
from ambit.erasure.position import read_position
from ambit.erasure.reasons import seal_reason
from ambit.erasure.retention import (
    CLASSES,
    DISTRUST,
    DataClass,
    days_at,
    is_set,
    lock_policies,
    next_night,
    past_time,
)
from ambit.erasure.services import cover
from ambit.erasure.subjects import Found
from ambit.erasure.types import RETENTION
from tenants.ids import uuid7
from tenants.models import AuditEvent
from tenants.queries import get_tenant
from tenants.scope import current_tenant_id, custody_scope

logger = logging.getLogger(__name__)

# Of one class in one round; the rest follows when that is gone.
BATCH = 1000
# Rounds come daily. One that is later than this was kept from coming, or the clock jumped: nobody can tell.
LATE = timedelta(hours=30)
# Clocks of two machines, and of one before and after it was set, may differ by so much.
SKEW = timedelta(minutes=5)
AN_HOUR = timedelta(hours=1)
# While the cases of the round before are worked on.
BUSY = timedelta(minutes=10)
WORDS: dict[DataClass, str] = {
    "documents": "Documents whose newest version came before",
    "answers": "Answers that were asked for before",
}


def begin_round() -> timedelta | None:
    """Make a case of each class of which something is past its time, in the tenant's scope; say when to look again.

    None: there is nothing to look for any more. While a case of an earlier round is open no other is made: nothing
    is covered by two. Nothing goes of a tenant that ends or is suspended.
    """
    with custody_scope():
        rows = lock_policies()
        if not any(is_set(row) for row in rows.values()):
            return None
        now = read_position().at
        until_night = next_night(now) - now
        paused_until = _look(rows.values(), now)
        if paused_until > now:
            # The first night that is not over an hour before.
            return max(next_night(paused_until - AN_HOUR), paused_until) - now
        tenant = get_tenant()
        if tenant.closing_at is not None or tenant.suspended_at is not None:
            return until_night
        if _has_open_case():
            return BUSY
        full = [_begin(rows[name], name, now) for name in CLASSES if name in rows]
        return BUSY if any(full) else until_night


def _look(rows: Iterable[RetentionPolicy], now: datetime) -> datetime:
    """Note that a round looked; return until when nothing may be destroyed: now, where the clock can be trusted."""
    latest = now
    for row in rows:
        if _is_absurd(row.looked_at, now):
            row.paused_until = now + DISTRUST
            logger.error("retention.clock_jumped", extra={"tenant_id": str(current_tenant_id())})
        latest = max(latest, row.paused_until or now)
        row.looked_at = now
        row.save(update_fields=["looked_at", "paused_until"])
    return latest


def _is_absurd(looked_at: datetime | None, now: datetime) -> bool:
    """Say whether the clock went back, ran ahead of the last round or of this machine, or cannot be judged."""
    if looked_at is None or not looked_at - SKEW <= now <= looked_at + LATE:
        return True
    newest = AuditEvent.objects.order_by("-at", "-id").values_list("at", flat=True).first()
    ahead = newest is not None and newest > now + SKEW
    return ahead or abs(timezone.now() - now) > SKEW


def _has_open_case() -> bool:
    cases = Erasure.objects.filter(subject_type=RETENTION, closed_at=None, refused_at=None)
    return cases.exclude(state=ErasureState.HELD).exists()


def _begin(row: RetentionPolicy, name: DataClass, now: datetime) -> bool:
    """Make a case of what is past its time, the oldest first; say whether there may be more than it covers."""
    days = days_at(row, now)
    if days is None:
        return False
    before = now - timedelta(days=days)
    found = list(past_time(name, before=before)[:BATCH])
    _lock(name, found)
    # Behind the locks: what was held, restricted or renewed meanwhile is left.
    ids = tuple(sorted(past_time(name, before=before, among=found)))
    if ids:
        row.last_case_id = _open(name, ids, days=days, before=before, now=now)
        row.save(update_fields=["last_case_id"])
    return len(found) == BATCH


def _lock(name: DataClass, ids: Iterable[UUID]) -> None:
    if name == "documents":
        lock_documents(ids)
    else:
        # A hold on a member keeps what the member asked.
        lock_members(askers_of(ids))


def _open(
    name: DataClass, ids: tuple[UUID, ...], *, days: int, before: datetime, now: datetime
) -> UUID:
    found = Found(RETENTION, None, (), None, (), (), ())
    found = (
        replace(found, document_ids=ids) if name == "documents" else replace(found, answer_ids=ids)
    )
    reason = f"{WORDS[name]} {before:%Y-%m-%d %H:%M} UTC: they are kept for {days} days."
    case_id = uuid7()
    case = Erasure.objects.create(
        id=case_id,
        subject_type=RETENTION,
        reason_sealed=seal_reason(reason, (), object_id=case_id, field="reason"),
        requested_by_kind=RETENTION,
        received_at=now,
    )
    cover(case, found, action="erasure.requested")
    return case_id
