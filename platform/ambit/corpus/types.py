"""Values that cross the corpus' border; frozen, and free of the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

Mode = Literal["hybrid", "vector", "text"]


@dataclass(frozen=True, slots=True)
class Clearance:
    """What one caller may see right now: made only by ambit.access.clearance."""

    tenant_id: UUID
    # None: a worker or erasure acting as custodian of named audiences, never a person asking.
    member_id: UUID | None
    audience_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as a reader sees it; offsets count characters of the version's extracted text."""

    chunk_id: UUID
    document_id: UUID
    version_id: UUID
    version: int
    collection_id: UUID
    title: str
    section: str
    text: str = field(repr=False)
    page_first: int | None
    page_last: int | None
    char_start: int
    char_end: int
    # Reciprocal-rank-fusion score, unitless; comparable within one result only.
    score: float
    # Cosine similarity to the question, -1 to 1; None when the passage came by text alone.
    similarity: float | None
