"""Values that cross the border of adapters; frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

AdapterStateName = Literal["candidate", "live", "retired", "erased"]
RetiredBecause = Literal["", "by_hand", "hidden", "moved", "replaced", "not_stored"]


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A document and the number of its version, as whoever trained the adapter says."""

    document_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A candidate whose weights are still to be written."""

    id: UUID
    tenant_id: UUID
    served_name: str


@dataclass(frozen=True, slots=True)
class ServedAdapter:
    """An adapter that the asker may use, and what model servers know it by."""

    id: UUID
    served_name: str
    base: str


@dataclass(frozen=True, slots=True)
class AdapterView:
    """An adapter's record: no weights, and no name that a model server knows."""

    id: UUID
    name: str = field(repr=False)
    base: str
    rank: int
    sha256: str
    n_bytes: int
    n_documents: int
    state: AdapterStateName
    registered_by_id: UUID
    registered_at: datetime
    live_at: datetime | None
    retired_at: datetime | None
    retired_because: RetiredBecause
    # The document that retired it; None where a person did.
    retired_for_id: UUID | None
    erased_at: datetime | None
    # Since when every model server has it; None: not yet, or not any more.
    loaded_at: datetime | None
    load_fault: str
