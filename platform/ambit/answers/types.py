"""Frozen values handed from step to step of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ambit.corpus.types import UNFILTERED, Filters, Passage

GeneratorName = Literal["extractive", "vllm"]
DEFAULT_K = 10
DEFAULT_MAX_TOKENS = 512
# Of one answer, whatever is asked for.
MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """At most k passages from one collection."""

    collection_id: UUID
    k: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question, where to look for its answer, and how that is to be written."""

    text: str = field(repr=False)
    k: int = DEFAULT_K
    filters: Filters = UNFILTERED
    # A budget for each collection instead of one for all.
    routes: tuple[Route, ...] | None = None
    conversation_id: UUID | None = None
    # Who writes; None is the base model.
    adapter_id: UUID | None = None
    # False: the adapter answers from what it was trained on, and no passage is looked for.
    retrieves: bool = True
    # What the calling application asks of tone and form.
    instructions: str = field(default="", repr=False)
    # A JSON schema that the answer is to have.
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    max_tokens: int = DEFAULT_MAX_TOKENS


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Told before anything is written: the passages that the answer may be made from, best first."""

    passages: tuple[Passage, ...] = field(repr=False)
    # How many more were found, and left out for length.
    n_left_out: int


@dataclass(frozen=True, slots=True)
class Written:
    """A further piece of the text; inert, and never taken back but as a whole."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cited:
    """A marker that appeared for the first time, and the passage it points to."""

    marker: int
    passage: Passage = field(repr=False)


Event = Retrieved | Written | Cited
Tell = Callable[[Event], None]


def nobody(_event: Event) -> None:
    """Tell nobody."""


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
    # False: an estimate, where the server did not come to telling its last count.
    exact: bool = True

    @property
    def counts(self) -> dict[str, int]:
        """Return the tokens by name."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
        }


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated text whose markers [1], [2], … point into the supplied passages (1-based)."""

    text: str = field(repr=False)
    generator: GeneratorName
    abstained: bool
    # Exact spans behind the markers where the generator knows them (extractive).
    quotes: tuple[Quote, ...] = ()
    usage: Usage = Usage()
    # The answer as JSON, where a schema was asked for; the text is the same, written out.
    value: Any = field(default=None, repr=False)
    # False: written by an adapter from what it was trained on, without passages.
    grounded: bool = True
    # The limit of tokens ended the text.
    cut_short: bool = False


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
    value: Any = field(default=None, repr=False)
    cut_short: bool = False
    # Nothing of it was given, because what it was made from went out of the asker's reach.
    withheld: bool = False
    # Share of its sentences that their citations support, quotes always; None for an abstention and
    # for what was saved before this was looked at.
    groundedness: float | None = None


@dataclass(frozen=True, slots=True)
class SavedExchange:
    """A question and its answer as they were given; a turn, where it is of a conversation."""

    id: UUID
    asked_at: datetime
    question: str = field(repr=False)
    answer: Answer
    conversation_id: UUID | None = None
