"""Values that cross the border of erasure; frozen, and free of content and identifiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenants.holding import Scope

StateName = Literal[
    "previewed", "received", "hidden", "destroyed", "verified", "closed", "incomplete"
]


@dataclass(frozen=True, slots=True)
class HoldingCount:
    """What one holding holds of a case; remaining None: not looked at yet, or out of reach."""

    name: str
    title: str
    found: int
    destroyed: int = 0
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class StateTime:
    """When a case reached a state."""

    state: StateName
    at: datetime


@dataclass(frozen=True, slots=True)
class ErasureView:
    """A case as its tenant's privacy officers see it."""

    # None: a dry run, of which nothing is kept.
    id: UUID | None
    tenant_id: UUID
    state: StateName
    dry_run: bool
    # email, external_id, member, or documents.
    subject_type: str
    # Keyed hash of the subject's identifier, in hex; None for a case by document ids.
    subject_hash: str | None
    reason: str = field(repr=False)
    requested_by_kind: str
    requested_by_id: UUID | None
    received_at: datetime
    due_at: datetime
    states: tuple[StateTime, ...]
    attempts: int
    # How many things of each kind are covered: document, member, key, account, answer.
    counts: dict[str, int]
    # Empty until a worker has taken the case up; a dry run counts at once.
    holdings: tuple[HoldingCount, ...]
    # Of the documents, those that declare other identifiers too, of this or of other people.
    n_shared_documents: int

    @property
    def complete(self) -> bool:
        """Say whether everything found is gone and was verified to be."""
        return self.state == "closed"

    def at(self, state: StateName) -> datetime | None:
        """Return when the case reached a state; None when it has not."""
        return next((s.at for s in self.states if s.state == state), None)


@dataclass(frozen=True, slots=True)
class Case:
    """An open case as the worker takes it up."""

    id: UUID
    scope: Scope
    # Whether every transaction that was under way at the request has ended: nothing can come in
    # late any more.
    settled: bool


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a second look found in one holding; n None: it could not be reached."""

    name: str
    n: int | None
