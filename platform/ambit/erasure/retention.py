"""A tenant's own retention: for how many days it keeps what, from when a change counts, and what is past its time.

No policy, or one without a number: kept until erased. What a change would destroy sooner than before it counts only a
day later, so that a mistyped number can be taken back; what keeps longer counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from ambit.answers.ages import (
    answers_asked_before,
    answers_asked_by_any,
    answers_made_from,
    documents_behind,
)
from ambit.corpus.ages import documents_received_before
from ambit.erasure.models import Erasure, ErasureItem, RestrictionItem, RetentionPolicy
from ambit.erasure.position import read_position
from ambit.jobs.kinds import RETENTION as ROUND
from ambit.jobs.services import bring_forward, due_at, enqueue
from tenants.audit import record
from tenants.scope import current_tenant_id, custody_scope

DataClass = Literal["answers", "documents"]
# In the order of a round: with a document go the answers made from it.
CLASSES: tuple[DataClass, ...] = ("documents", "answers")
MAX_DAYS = 36_525
GRACE = timedelta(hours=24)
# For how long nothing is destroyed once clock or policies were not to be trusted: time to put them right.
DISTRUST = timedelta(hours=24)


class DaysOutOfRange(ValueError):
    """A number of days is not between one and a hundred years; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long one class is kept, and what of it is past its time now; None: until it is erased."""

    days: int | None
    # A change that is not in force yet.
    next_days: int | None = None
    effective_at: datetime | None = None
    # What would go in a round now, by the days in force and by those to come; None: there are none.
    n_due: int | None = None
    n_due_next: int | None = None
    # When a round last looked, and until when none destroys because the clock jumped.
    looked_at: datetime | None = None
    paused_until: datetime | None = None
    last_case_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """A tenant's retention of every class, and when the next round looks; None: there is nothing to look for."""

    classes: Mapping[DataClass, Kept]
    next_round_at: datetime | None


def get_retention() -> Retention:
    """Return the retention of the tenant in scope, with what is past its time now."""
    with custody_scope():
        now = read_position().at
        rows = {row.data_class: row for row in RetentionPolicy.objects.all()}
        kept = {name: _kept(rows.get(name), name, now) for name in CLASSES}
    return Retention(kept, due_at(ROUND, object_id=current_tenant_id()))


def days_in_force() -> dict[DataClass, int]:
    """Return for how many days the tenant in scope keeps each class that goes by age."""
    now = read_position().at
    found = ((row.data_class, days_at(row, now)) for row in RetentionPolicy.objects.all())
    return {name: days for name, days in found if days is not None}  # type: ignore[misc]  # only classes are ever written


def set_retention(*, days: Mapping[DataClass, int | None]) -> Retention:
    """Set for how many days each class is kept; one that is not named is kept until it is erased.

    Raises DaysOutOfRange, having changed nothing.
    """
    for n in days.values():
        if n is not None and (isinstance(n, bool) or not 1 <= n <= MAX_DAYS):
            raise DaysOutOfRange(n)
    for name in CLASSES:
        RetentionPolicy.objects.get_or_create(
            tenant_id=current_tenant_id(), data_class=name, defaults={}
        )
    rows = lock_policies()
    now = read_position().at
    # Asked before anything changes: whether somebody has watched the clock since the last round.
    watched = any(is_set(row) for row in rows.values())
    for name in CLASSES:
        _change(rows[name], days.get(name), now)
    if any(is_set(row) for row in rows.values()):
        if not watched:
            RetentionPolicy.objects.update(looked_at=now, paused_until=None)
        _have_rounds(next_night(now))
    return get_retention()


def _have_rounds(night: datetime) -> None:
    """Have a round to come; one that a clock which ran ahead has put off too far comes that night."""
    tenant_id = current_tenant_id()
    enqueue(ROUND, object_id=tenant_id, run_after=night)
    bring_forward(ROUND, object_id=tenant_id, to=night, from_after=night + DISTRUST + GRACE)


def lock_policies() -> dict[DataClass, RetentionPolicy]:
    """Return the policies of the tenant in scope, which others wait to change until commit."""
    rows = RetentionPolicy.objects.select_for_update().order_by("data_class")
    return {row.data_class: row for row in rows}  # type: ignore[misc]  # only classes are ever written


def pause_rounds() -> None:
    """Have nothing of the tenant in scope go by age for a day, whatever the clock says."""
    until = read_position().at + DISTRUST
    RetentionPolicy.objects.update(paused_until=until)


def is_set(row: RetentionPolicy) -> bool:
    """Say whether anything goes by age, now or soon."""
    return row.days is not None or row.next_days is not None


def days_at(row: RetentionPolicy, now: datetime) -> int | None:
    """Return for how many days the class is kept at a moment; None: until it is erased."""
    return row.next_days if _has_come(row, now) else row.days


def next_night(now: datetime) -> datetime:
    """Return when the next round begins: all tenants' at one hour, so that their cases share a scrub."""
    at = now.replace(hour=settings.AMBIT_RETENTION_HOUR, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)


def past_time(
    name: DataClass, *, before: datetime, among: Iterable[UUID] | None = None
) -> QuerySet[Any, UUID]:
    """Return the ids of what of a class is older than a moment and may go by age, the oldest first; in custody.

    Neither what is hidden or covered by an open case, nor what a hold or a restriction is on (Art. 17(3), 18 GDPR),
    nor what would go with it: answers asked for by such a member or made from such a document.
    """
    found = (
        answers_asked_before(before, spared=_covered_answers(), among=among)
        if name == "answers"
        else documents_received_before(before, among=among)
    )
    members, documents = kept_against("member"), kept_against("document")
    if name == "documents":
        found = found.exclude(pk__in=documents)
    # Each asked for only where there is one: who has no hold reads no answer's passages.
    for answers in (
        *([answers_asked_by_any(members)] if members else []),
        *([answers_made_from(documents)] if documents else []),
    ):
        found = found.exclude(pk__in=answers if name == "answers" else documents_behind(answers))
    return found


def kept_against(kind: str) -> list[UUID]:
    """Return what holds and restrictions of the tenant in scope are on."""
    items = RestrictionItem.objects.filter(kind=kind, lifted_at=None)
    return list(items.values_list("object_id", flat=True).distinct())


def _covered_answers() -> QuerySet[ErasureItem, UUID]:
    # Few are open, and what closed ones covered stays noted for ever: it is not gone through.
    open_cases = Erasure.objects.filter(closed_at=None, refused_at=None)
    items = ErasureItem.objects.filter(
        kind="answer", erasure_id__in=list(open_cases.values_list("pk", flat=True))
    )
    return items.values_list("object_id", flat=True)


def _has_come(row: RetentionPolicy, now: datetime) -> bool:
    return row.effective_at is not None and row.effective_at <= now


def _change(row: RetentionPolicy, wanted: int | None, now: datetime) -> None:
    """Change one class; what is wanted already is left as it is, its day of grace too."""
    in_force = days_at(row, now)
    coming = row.next_days if row.effective_at is not None else row.days
    if wanted == coming:
        return
    sooner = wanted is not None and (in_force is None or wanted < in_force)
    row.days = in_force if sooner else wanted
    row.next_days, row.effective_at = (wanted, now + GRACE) if sooner else (None, None)
    row.save(update_fields=["days", "next_days", "effective_at"])
    # 0: until it is erased.
    counts = {f"{row.data_class}_days_before": in_force or 0, f"{row.data_class}_days": wanted or 0}
    record("retention.changed", object_id=row.pk, counts=counts)


def _kept(row: RetentionPolicy | None, name: DataClass, now: datetime) -> Kept:
    if row is None:
        return Kept(None)
    days, comes = days_at(row, now), not _has_come(row, now)
    next_days = row.next_days if comes else None
    return Kept(
        days=days,
        next_days=next_days,
        effective_at=row.effective_at if comes else None,
        n_due=_count(name, days, now),
        n_due_next=_count(name, next_days, now),
        looked_at=row.looked_at,
        paused_until=row.paused_until if row.paused_until and row.paused_until > now else None,
        last_case_id=row.last_case_id,
    )


def _count(name: DataClass, days: int | None, now: datetime) -> int | None:
    if days is None:
        return None
    return past_time(name, before=now - timedelta(days=days)).count()
