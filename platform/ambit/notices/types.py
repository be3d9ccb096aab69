"""Values that cross the border of notices; frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

EventName = Literal[
    "erasure.closed",
    "document.erased",
    "restriction.placed",
    "restriction.lifted",
    "audit.checkpoint",
]
# Of what happened to documents and people; a checkpoint is told by the hour.
CASES: tuple[EventName, ...] = (
    "erasure.closed",
    "document.erased",
    "restriction.placed",
    "restriction.lifted",
)
CHECKPOINT: EventName = "audit.checkpoint"
EVENTS: tuple[EventName, ...] = (*CASES, CHECKPOINT)
StateName = Literal["waiting", "told", "given_up"]


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A recipient as its tenant's officers see it; never the secret."""

    id: UUID
    name: str
    # Empty once it is removed.
    url: str = field(repr=False)
    events: tuple[str, ...]
    created_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A recipient just made: the only time its secret is shown."""

    webhook: WebhookView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoticeView:
    """What one recipient was told, or is to be."""

    id: UUID
    webhook_id: UUID
    recipient: str
    event: str
    object_id: UUID
    n_documents: int
    occurred_at: datetime
    state: StateName
    attempts: int
    last_status: int | None
    last_fault: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice ready to be sent."""

    id: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to: the receiver's status, or none and why there is none."""

    status: int | None
    fault: str = ""

    @property
    def is_told(self) -> bool:
        """Say whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_unwanted(self) -> bool:
        """Say whether the receiver is gone and wants no more attempts (410)."""
        return self.status == 410
