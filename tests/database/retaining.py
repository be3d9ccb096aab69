"""Tenants whose things have an age, and a round of retention as a worker does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from ambit.answers.models import Exchange
from ambit.corpus.models import Document, Version
from ambit.erasure.models import Erasure, ErasureItem, RetentionPolicy
from ambit.erasure.retention import DataClass, Retention, get_retention, set_retention
from ambit.erasure.types import RETENTION
from ambit.jobs.kinds import RETENTION as ROUND
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim
from tests.database.erasures import Town, keep_from_workers
from tests.database.worlds import working
from workers.erase.retain import retain


def age_documents(town: Town, days: float, *ids: UUID) -> None:
    """Let documents and all their versions have come so many days ago."""
    at = timezone.now() - timedelta(days=days)
    with working(town.tenant_id, custody=True):
        Document.objects.filter(pk__in=ids).update(created_at=at)
        Version.objects.filter(document_id__in=ids).update(received_at=at)


def age_answers(town: Town, days: float, *ids: UUID) -> None:
    """Let answers have been asked for so many days ago."""
    at = timezone.now() - timedelta(days=days)
    with working(town.tenant_id, custody=True):
        Exchange.objects.filter(pk__in=ids).update(asked_at=at)


def keep_for(town: Town, *, at_once: bool = True, **days: int | None) -> Retention:
    """Set a tenant's retention; at_once: as if the day in which it can be taken back had passed."""
    asked: Mapping[DataClass, int | None] = days  # type: ignore[assignment]  # classes
    with working(town.tenant_id):
        found = set_retention(days=asked)
        if at_once:
            passed = timezone.now() - timedelta(seconds=1)
            RetentionPolicy.objects.exclude(effective_at=None).update(effective_at=passed)
        keep_from_workers()
    return found


def retention_of(town: Town) -> Retention:
    """Return a tenant's retention."""
    with working(town.tenant_id):
        return get_retention()


def policy_of(town: Town, name: DataClass) -> RetentionPolicy:
    """Return the row of one class."""
    with working(town.tenant_id):
        return RetentionPolicy.objects.get(data_class=name)


def take_round(town: Town) -> Claim | None:
    """Claim a tenant's next round, as if its time had come."""
    with working(town.tenant_id):
        job = Job.objects.filter(name=ROUND.name)
        job.update(run_after=timezone.now(), lease=None, leased_until=None)
        found = job.first()
        return claim(tenant_id=town.tenant_id, job_id=found.pk) if found else None


def go_round(town: Town) -> list[UUID]:
    """Do a tenant's next round as a worker would; return the cases it made, the oldest first."""
    before = set(cases_of(town))
    held = take_round(town)
    if held is not None:
        retain(held)
    with working(town.tenant_id):
        keep_from_workers()
    return [one for one in cases_of(town) if one not in before]


def cases_of(town: Town) -> list[UUID]:
    """Return the tenant's cases that retention made, the oldest first."""
    with working(town.tenant_id):
        found = Erasure.objects.filter(subject_type=RETENTION).order_by("pk")
        return list(found.values_list("pk", flat=True))


def covered_by(town: Town, case_id: UUID, kind: str) -> set[UUID]:
    """Return what of a kind a case covers."""
    with working(town.tenant_id):
        items = ErasureItem.objects.filter(erasure_id=case_id, kind=kind)
        return set(items.values_list("object_id", flat=True))


def many_answers(town: Town, n: int, *, like: UUID) -> None:
    """Copy an answer's row so many times, under ids of their own: nothing of them opens."""
    with working(town.tenant_id, custody=True):
        one = Exchange.objects.get(pk=like)
        at = one.asked_at
        rows = [
            Exchange(
                member_id=one.member_id,
                wrapped_key=one.wrapped_key,
                body_sealed=one.body_sealed,
                generator=one.generator,
                abstained=one.abstained,
            )
            for _ in range(n)
        ]
        made = Exchange.objects.bulk_create(rows)
        Exchange.objects.filter(pk__in=[row.pk for row in made]).update(asked_at=at)


def answers_left(town: Town) -> set[UUID]:
    """Return the tenant's saved answers, hidden or not."""
    with working(town.tenant_id, custody=True):
        return set(Exchange.objects.values_list("pk", flat=True))
