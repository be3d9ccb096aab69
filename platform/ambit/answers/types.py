"""Frozen values handed from step to step of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

GeneratorName = Literal["extractive", "vllm"]


@dataclass(frozen=True, slots=True)
class Quote:
    """A span of one supplied passage; offsets count characters of the passage's text."""

    passage_index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model's server counted them; zero where no model ran."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated text whose markers [1], [2], … point into the supplied passages (1-based)."""

    text: str = field(repr=False)
    generator: GeneratorName
    abstained: bool
    # Exact spans behind the markers where the generator knows them (extractive).
    quotes: tuple[Quote, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a marked statement stands: offsets count characters of the version's extracted text."""

    marker: int
    document_id: UUID
    version_id: UUID
    version: int
    chunk_id: UUID
    title: str = field(repr=False)
    page_first: int | None
    page_last: int | None
    char_start: int
    char_end: int
    quote: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the asker gets."""

    text: str = field(repr=False)
    abstained: bool
    generator: GeneratorName
    citations: tuple[Citation, ...]
    # Sentences of a model's text that no citation supports.
    unsupported: tuple[str, ...] = field(repr=False)
    usage: Usage


@dataclass(frozen=True, slots=True)
class SavedExchange:
    """A question and its answer as they were given; a turn, where it is of a conversation."""

    id: UUID
    asked_at: datetime
    question: str = field(repr=False)
    answer: Answer
    conversation_id: UUID | None = None
