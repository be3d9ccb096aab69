"""Cite an answer in JSON: for each thing it says, the passage that says so; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ambit.answers import support
from ambit.answers.ground import WORDS_COVERED
from ambit.corpus.types import Passage

Span = tuple[int, int, int]


def spans_behind(value: Any, *, passages: Sequence[Passage]) -> tuple[list[Span], list[str], int]:
    """Return where a value's statements stand, those that stand nowhere, and how many there are.

    A statement is a string or a number that says something; a span is a passage's index with start
    and end of its sentence. The best passage that covers a statement comes first.
    """
    shown = [support.vocabulary(f"{p.title}\n{p.section}\n{p.text}") for p in passages]
    spans: list[Span] = []
    unsupported: list[str] = []
    statements = [(said, support.facts(said)) for said in _said(value)]
    telling = [
        (said, claim) for said, claim in statements if claim.numbers | claim.names | claim.words
    ]
    for said, claim in telling:
        index = next((i for i, s in enumerate(shown) if _covers(s, claim)), None)
        if index is None:
            unsupported.append(said)
        else:
            spans.append((index, *support.best_sentence(claim, text=passages[index].text)))
    return list(dict.fromkeys(spans)), unsupported, len(telling)


def _covers(shown: support.Vocabulary, claim: support.Facts) -> bool:
    """Say whether a passage has all numbers and names of a statement, and enough of its words."""
    there = sum(shown.has_word(word) for word in claim.words)
    return (
        all(shown.has_number(forms) for forms in claim.numbers)
        and all(shown.has_word(name) for name in claim.names)
        and there >= WORDS_COVERED * len(claim.words)
    )


def _said(value: Any) -> Iterator[str]:
    """Yield the strings and numbers of a JSON value; names of fields are the schema's."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _said(item)
    elif isinstance(value, list):
        for item in value:
            yield from _said(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{value}"
