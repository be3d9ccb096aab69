"""Read what the start page counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from ambit.access.queries import list_collections_as_custodian
from ambit.admin.words import OPEN_STATES, UNFINISHED
from ambit.corpus.queries import list_documents_as_custodian
from ambit.corpus.types import DocumentView
from ambit.erasure.queries import list_erasures
from ambit.erasure.types import ErasureView
from tenants.models import ApiKey, AuditEvent, Member

SHOWN = 5
# Beyond this a count reads "and more": nobody acts on the difference.
COUNTED = 1000
# Of those that nobody asked for an open one keeps others from being made.
COUNTED_BY_AGE = 10
SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Erasures:
    """Cases that are not closed: of those that nobody asked for the stuck ones alone."""

    n_open: int
    due_soon: tuple[ErasureView, ...]
    incomplete: tuple[ErasureView, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Documents by state; more: there are others that were not counted."""

    n_ready: int
    n_unfinished: int
    n_failed: int
    more: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """How far a new tenant is set up."""

    has_members: bool
    has_collections: bool
    has_documents: bool


def open_erasures() -> Erasures:
    """Return the cases that are not closed, the due and the stuck ones by name."""
    asked_for = list_erasures(after=None, limit=COUNTED, by_age=False)
    cases = [c for c in asked_for if c.state in OPEN_STATES]
    by_age = list_erasures(after=None, limit=COUNTED_BY_AGE, by_age=True)
    soon = timezone.now() + SOON
    return Erasures(
        n_open=len(cases),
        due_soon=tuple(c for c in cases if c.due_at and c.due_at <= soon),
        incomplete=tuple(c for c in (*cases, *by_age) if c.state == "incomplete"),
    )


def document_counts() -> Counts:
    """Count documents by state among the newest thousand."""
    found = list_documents_as_custodian(after=None, limit=COUNTED + 1)
    states = Counter("hidden" if d.hidden_at else d.latest.state for d in found[:COUNTED])
    unfinished = sum(states[s] for s in UNFINISHED)
    return Counts(
        n_ready=states["ready"],
        n_unfinished=unfinished,
        n_failed=states["failed"],
        more=len(found) > COUNTED,
    )


def failed_documents() -> list[DocumentView]:
    """Return the newest documents that failed, one more than are shown."""
    return list_documents_as_custodian(after=None, limit=SHOWN + 1, state="failed")


def keys_expiring() -> list[ApiKey]:
    """Return keys that stop working within a week."""
    now = timezone.now()
    return list(
        ApiKey.objects.filter(
            revoked_at__isnull=True, expires_at__gte=now, expires_at__lte=now + SOON
        ).order_by("expires_at")[:SHOWN]
    )


def setting(own_member_id: UUID) -> Setting:
    """Say how far the tenant in scope is set up."""
    return Setting(
        has_members=Member.objects.exclude(pk=own_member_id).exists(),
        has_collections=bool(list_collections_as_custodian()),
        has_documents=bool(list_documents_as_custodian(after=None, limit=1)),
    )


def n_events_since(moment: datetime) -> int:
    """Count the tenant's audit events since a moment, up to ten thousand."""
    return len(AuditEvent.objects.filter(at__gte=moment).values_list("pk")[:10_000])
