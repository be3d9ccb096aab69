"""Values that cross the border of exports; frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

StateName = Literal["received", "ready", "expired", "failed"]
# Why one is over: its days, an erasure or deletion of something in it, or what kept it from being made.
End = Literal["time", "erasure", "ambiguous", "unreadable", "changing"]


@dataclass(frozen=True, slots=True)
class ExportView:
    """An export as its tenant's privacy officers see it."""

    id: UUID
    state: StateName
    subject_type: str
    # Keyed hash of the subject's identifier, in hex.
    subject_hash: str
    include_shared: bool
    # Opened by ambit.erasure.exports, which knows how reasons are sealed.
    reason_sealed: bytes = field(repr=False)
    requested_by_kind: str
    requested_by_id: UUID | None
    received_at: datetime
    ready_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    ended_because: str
    attempts: int
    n_documents: int
    n_originals: int
    n_written: int
    n_left_out: int
    n_bytes: int | None

    @property
    def progress(self) -> float:
        """Share of the work done, 0 to 1."""
        if self.state != "received":
            return 1.0
        return 0.9 * self.n_written / self.n_originals if self.n_originals else 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """An export as the worker takes it up; `file_id` names the file of this attempt alone."""

    id: UUID
    tenant_id: UUID
    file_id: UUID
    subject_type: str
    subject_value: str = field(repr=False)
    subject_hash: str
    include_shared: bool
    received_at: datetime
    key: bytes = field(repr=False)
