"""Values that cross the corpus' border; frozen, and free of the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

# type "/" subtype, both restricted names of RFC 6838, section 4.2.
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII)
Mode = Literal["hybrid", "vector", "text"]
# Of the words' sparse vectors: as many as pgvector's type can have.
WORD_DIMENSIONS = 1_000_000_000
Scalar = str | int | float | bool
# A text's vector, of length one.
Embedding = Sequence[float] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clearance:
    """What one caller may see right now: made only by ambit.access.clearance."""

    tenant_id: UUID
    # None: a worker or erasure acting as custodian of named audiences, never a person asking.
    member_id: UUID | None
    audience_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of the visible documents are meant: those that every condition holds for.

    Left at its default a condition restricts nothing; an empty list of choices admits nothing.
    """

    collection_ids: tuple[UUID, ...] | None = None
    # Each key with its choices: the document's own value under it equals one of them, as JSON.
    metadata: tuple[tuple[str, tuple[Scalar, ...]], ...] = field(default=(), repr=False)
    # From `after` on, up to and without `before`.
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    @property
    def admit_nothing(self) -> bool:
        """Say whether no document can meet them, whatever there is."""
        return self.collection_ids == () or any(not choices for _, choices in self.metadata)


UNFILTERED = Filters()


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
    # How well it answers: of both legs, cosine similarity or BM25 alone; comparable within one result only.
    score: float
    # Cosine similarity to the question, -1 to 1; None when the passage came by text alone.
    similarity: float | None


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """A person a document is about: type is email, external_id or member (value: the member's UUID)."""

    type: Literal["email", "external_id", "member"]
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """What comes in with a document; chunks yield the original's bytes once."""

    title: str = field(repr=False)
    file_name: str = field(repr=False)
    media_type: str
    chunks: Iterable[bytes] = field(repr=False)
    # BCP 47 primary subtag; None: to be found from the text.
    language: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)
    subjects: tuple[SubjectRef, ...] = field(default=(), repr=False)
    created_by_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class VersionView:
    """One content of a document and how far its ingest has come; times are None until reached."""

    id: UUID
    number: int
    state: str
    reason_code: str
    reason: str
    attempts: int
    media_type: str
    # Empty until known.
    language: str
    n_bytes: int
    n_pages: int | None
    n_chunks: int | None
    n_chunks_embedded: int
    received_at: datetime
    parsed_at: datetime | None
    chunked_at: datetime | None
    embedded_at: datetime | None
    ready_at: datetime | None
    failed_at: datetime | None

    @property
    def progress(self) -> float:
        """Share of the work done, 0 to 1."""
        if self.state == "ready":
            return 1.0
        if self.n_chunks:
            return 0.2 + 0.75 * min(1.0, self.n_chunks_embedded / self.n_chunks)
        return {"received": 0.0, "parsed": 0.1, "chunked": 0.2}.get(self.state, 0.0)


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """The version of a document that is found now, and the document's audience."""

    id: UUID
    number: int
    audience_id: UUID


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as its readers and custodians see it."""

    id: UUID
    collection_id: UUID
    audience_id: UUID
    own_grants: bool
    external_id: str | None
    title: str = field(repr=False)
    file_name: str = field(repr=False)
    metadata: dict[str, Any] = field(repr=False)
    # The version that search finds; None until one is ready.
    current: VersionView | None
    # The newest version; its state is the document's.
    latest: VersionView
    created_at: datetime
    updated_at: datetime
    hidden_at: datetime | None
    # Set with it where a hold or a restriction alone hides the document.
    withheld_at: datetime | None
    erased_at: datetime | None
