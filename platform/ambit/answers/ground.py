"""Say how far an answer's sentences stand on the passages they cite; pure.

Tier 1: that markers are there and point to passages, that numbers, dates and names are the passages'
own, and how much of the words is. Meaning is not looked at: a sentence that denies what its passage
says, or takes another figure of the same passage, counts as supported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ambit.answers import support
from ambit.answers.sentences import sentences
from ambit.corpus.types import Passage
from ambit.inference.types import Vector

# Fitted on one half of 7,900 labelled statements in twelve languages, held against the other:
# `python -m tests.bench.groundedness`. From this share of a statement's content words on, with all
# of its numbers and names, it is supported: the strictest within a hundredth of the best balance
# (recall .85, passed wrongly .07). At .7, where it was, a third of what is supported was lost.
WORDS_COVERED = 0.4
# Below it, down to here, similarity decides where it can be asked for. On held-out statements that
# brought recall from .83 to .85, and let .11 instead of .10 of other passages pass: too little for
# every answer to wait for a request.
WORDS_UNDECIDED = 0.25
SIMILAR = 0.7
# With the best sentence of their passages they fill one request to the embedding service.
MAX_UNDECIDED = 16

# A German noun is written like a name: a language of which most sentences have one of these.
_GERMAN = frozenset(
    ("der", "die", "das", "und", "ist", "nicht", "ein", "eine", "den", "dem", "mit", "von", "für")
)
_GERMAN_WORDS = 2
_MARKER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class SentenceGround:
    """A sentence's span in the answer, the numbers it cites, and what of it their passages hold."""

    start: int
    end: int
    markers: tuple[int, ...]
    # Cosine with the most similar sentence that it cites; None where it was not asked for.
    similarity: float | None
    numbers_covered: bool
    names_covered: bool
    words_covered: float
    supported: bool


@dataclass(frozen=True, slots=True)
class Groundedness:
    """An answer's sentences, the share that is supported, and whether each cites what was supplied."""

    share_supported: float
    citations_valid: bool
    sentences: tuple[SentenceGround, ...]


def ground(
    *,
    text: str,
    passages: Sequence[Passage],
    cited: Sequence[int],
    embed: Callable[[Sequence[str]], Sequence[Vector]] | None = None,
) -> Groundedness:
    """Compare each sentence with the passages it cites; cited holds the passage of each number.

    Embed is asked once at most, for sentences whose words do not decide; without it they are
    unsupported. An empty text is supported in nothing. Raises what embed raises.
    """
    parts = [
        _Part(text, start, end, passages=passages, cited=cited)
        for start, end in sentences(text, wrapped=False)
    ]
    undecided = [part for part in parts if part.is_undecided][:MAX_UNDECIDED]
    similarities = dict(zip(map(id, undecided), _similarities(undecided, embed), strict=True))
    grounds = tuple(part.ground(similarities.get(id(part))) for part in parts)
    share = sum(one.supported for one in grounds) / len(grounds) if grounds else 0.0
    valid = bool(parts) and all(part.cites_validly for part in parts)
    return Groundedness(share_supported=share, citations_valid=valid, sentences=grounds)


class _Part:
    """A sentence beside what its passages offer."""

    def __init__(
        self, text: str, start: int, end: int, *, passages: Sequence[Passage], cited: Sequence[int]
    ) -> None:
        self.start, self.end = start, end
        numbers = [int(number) for number in _MARKER.findall(text[start:end])]
        self.markers = tuple(dict.fromkeys(numbers))
        known = [n for n in self.markers if 1 <= n <= len(cited) and cited[n - 1] < len(passages)]
        self.cites_validly = bool(known) and len(known) == len(self.markers)
        self.sources = [passages[cited[n - 1]] for n in known]
        self.statement = _MARKER.sub(" ", text[start:end]).strip()
        claim = support.facts(self.statement)
        if _is_german(self.statement):
            claim = support.Facts(claim.numbers, frozenset(), claim.names | claim.words)
        self.claim = claim
        # The title and the heading belong to what was shown as the passage.
        shown = "\n".join(f"{p.title}\n{p.section}\n{p.text}" for p in self.sources)
        there = support.vocabulary(shown)
        self.numbers_covered = all(there.has_number(forms) for forms in claim.numbers)
        self.names_covered = all(there.has_word(name) for name in claim.names)
        found = sum(there.has_word(word) for word in claim.words)
        self.words_covered = found / len(claim.words) if claim.words else 1.0

    @property
    def is_possible(self) -> bool:
        return bool(self.sources) and self.numbers_covered and self.names_covered

    @property
    def is_undecided(self) -> bool:
        return self.is_possible and WORDS_UNDECIDED <= self.words_covered < WORDS_COVERED

    def best_sentences(self) -> Iterator[str]:
        for passage in self.sources:
            start, end = support.best_sentence(self.claim, text=passage.text)
            yield passage.text[start:end]

    def ground(self, similarity: float | None) -> SentenceGround:
        enough = self.words_covered >= WORDS_COVERED
        return SentenceGround(
            start=self.start,
            end=self.end,
            markers=self.markers,
            similarity=similarity,
            numbers_covered=self.numbers_covered,
            names_covered=self.names_covered,
            words_covered=self.words_covered,
            supported=self.is_possible and (enough or (similarity or 0.0) >= SIMILAR),
        )


def _similarities(
    parts: Sequence[_Part], embed: Callable[[Sequence[str]], Sequence[Vector]] | None
) -> list[float | None]:
    if embed is None or not parts:
        return [None] * len(parts)
    texts = list(dict.fromkeys(t for p in parts for t in (p.statement, *p.best_sentences()) if t))
    vectors = dict(zip(texts, embed(texts), strict=True))
    return [
        max(
            (float(np.dot(vectors[p.statement], vectors[t])) for t in p.best_sentences() if t),
            default=0.0,
        )
        for p in parts
    ]


def _is_german(statement: str) -> bool:
    words = set(statement.casefold().split())
    return len(words & _GERMAN) >= _GERMAN_WORDS
