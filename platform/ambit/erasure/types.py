"""Values that cross the border of erasure; frozen, and free of content and identifiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenants.holding import Scope

StateName = Literal[
    "previewed",
    "received",
    "identified",
    "hidden",
    "scoped",
    "shredded",
    "scrubbed",
    "verified",
    "closed",
    "incomplete",
    "held",
    "refused",
]
ENDS: tuple[StateName, ...] = ("closed", "refused", "held")
Clock = Literal["running", "stopped", "none", "ended"]
# What a case is about that nobody asked for: things older than their tenant keeps them.
RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class HoldingCount:
    """What one holding holds of a case; remaining None: not looked at yet, or out of reach."""

    name: str
    title: str
    found: int
    destroyed: int = 0
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """How much of a case is kept under holds of one legal basis: a letter of Art. 17(3) GDPR."""

    basis: str
    n_documents: int
    n_members: int


@dataclass(frozen=True, slots=True)
class Stays:
    """What an erasure would leave, and why; n None: not counted."""

    what: str
    n: int | None
    why: str


@dataclass(frozen=True, slots=True)
class RestrictionView:
    """A hold, or a restriction alone, as its tenant's privacy officers see it."""

    id: UUID
    # The letter of Art. 17(3) GDPR; empty: a restriction alone, which stops no erasure.
    basis: str
    subject_type: str
    reason: str = field(repr=False)
    placed_by_kind: str
    placed_by_id: UUID | None
    placed_at: datetime
    review_at: datetime | None
    lifted_at: datetime | None
    document_ids: tuple[UUID, ...]
    member_ids: tuple[UUID, ...]

    @property
    def is_hold(self) -> bool:
        """Say whether it is kept against an erasure too."""
        return bool(self.basis)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may be about a person, and by what it was found: how many identifiers of each kind."""

    document_id: UUID
    found_by: dict[str, int]
    # It declares somebody: not the person, as far as the identifiers say.
    declares_others: bool
    # None: out of reach of who asks.
    title: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best candidates, how many there are, and how many documents nobody could look through."""

    candidates: tuple[Candidate, ...]
    n_found: int
    n_not_looked_through: int


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
    # email, external_id, member, documents, or retention: older than it is kept.
    subject_type: str
    # Keyed hash of the subject's identifier, in hex; None for a case that names nobody.
    subject_hash: str | None
    reason: str = field(repr=False)
    requested_by_kind: str
    requested_by_id: UUID | None
    received_at: datetime
    # None while the clock is stopped: its end moves by the time the identity check takes. None too of a case
    # that nobody waits for.
    due_at: datetime | None
    states: tuple[StateTime, ...]
    attempts: int
    # How many things of each kind are covered: document, member, key, account, answer.
    counts: dict[str, int]
    # Empty until a worker has taken the case up; a dry run counts at once.
    holdings: tuple[HoldingCount, ...]
    # Of the documents, those that declare other identifiers too, of this or of other people.
    n_shared_documents: int
    # Of the documents, those that do not declare the person and that somebody named as about the person.
    n_confirmed_documents: int = 0
    extended_at: datetime | None = None
    extension_reason: str = field(default="", repr=False)
    refusal_reason: str = field(default="", repr=False)
    # What is under a hold now.
    held: tuple[HeldBack, ...] = ()
    # The transaction that had destroyed all; the position in Postgres' log before which nothing is left.
    shredded_xid: int = 0
    log_position: str = ""
    # Why it has to wait, in words; empty: it does not.
    waits_for: str = ""
    # Of a case that repeats another after a backup was restored: that one, of which nothing else is known here.
    repeats: UUID | None = None
    # Other open cases about the same person or member.
    also_open: tuple[UUID, ...] = ()
    # Of a dry run: how many things of each kind would go, and what would stay.
    goes: dict[str, int] = field(default_factory=dict)
    stays: tuple[Stays, ...] = ()

    @property
    def clock(self) -> Clock:
        """Say whether the case's time runs, stands while the identity check runs, or is over.

        It is over for what is held too: the receipt has said what is kept, and on which basis. What goes by age
        has none: nobody asked for it.
        """
        if any(self.at(state) for state in ENDS):
            return "ended"
        if self.by_age:
            return "none"
        return "running" if self.due_at else "stopped"

    @property
    def by_age(self) -> bool:
        """Say whether nobody asked for it: what it covers is older than it is kept."""
        return self.subject_type == RETENTION

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
    # What may be destroyed.
    scope: Scope
    # That, and what is under a hold.
    covered: Scope
    held_ids: frozenset[UUID]
    # Whether every transaction that was under way at the request has ended: nothing can come in
    # late any more.
    settled: bool
    # Whether what came in late could be looked for: a person's identifiers are hashed under the tenant's key.
    has_keys: bool = True
    # Why it had to wait the last time; empty: it did not.
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a second look found in one holding; n None: it could not be reached."""

    name: str
    n: int | None
