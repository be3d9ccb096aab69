"""A part of `make measure-finding`: what is promised to be found is, and namesakes survive."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID

import pytest

from ambit.config.runtime.supervisor import Stack
from ambit.corpus import mentions
from ambit.corpus.identifiers import Identifier
from tests.finding.measure import (
    Library,
    erase_beside_namesakes,
    look_by_manner,
    look_for,
    open_library,
)
from tests.finding.planted import (
    BEYOND,
    FOLDER,
    MANNERS,
    Person,
    labelled,
    namesake,
    otherwise_written,
    people,
    planted,
)

N_PEOPLE, N_NAMESAKES, N_TEXTS = 60, 10, 60


@pytest.fixture(scope="module")
def everybody() -> list[Person]:
    if not FOLDER.exists():
        pytest.skip("../shared/data/pii is not here")
    return people(N_PEOPLE)


@pytest.fixture(scope="module")
def library(everybody: list[Person], session_stack: Stack) -> Library:
    return open_library([])


@pytest.fixture(scope="module")
def documents(library: Library, everybody: list[Person]) -> list[UUID]:
    return [library.store(note) for note in planted(everybody, drawn=random.Random(5))]


def test_what_is_promised_to_be_found_is(
    library: Library, everybody: list[Person], documents: Sequence[UUID]
) -> None:
    tallies = look_by_manner(library, everybody, documents)

    promised = {key: one for key, one in tallies.items() if key[1] not in BEYOND[key[0]]}
    assert {kind for kind, _ in promised} == set(MANNERS)
    assert {key: one.recall for key, one in promised.items() if one.recall < 1} == {}


def test_what_is_said_to_be_missed_is_missed(
    library: Library, everybody: list[Person], documents: Sequence[UUID]
) -> None:
    # Else the page that says so, and the figures in it, are out of date.
    tallies = look_by_manner(library, everybody, documents)

    beyond = {key: one for key, one in tallies.items() if key[1] in BEYOND[key[0]]}
    assert beyond
    assert {key: one.found for key, one in beyond.items() if one.found} == {}


def test_labelled_texts_are_found_and_no_others(everybody: list[Person], database: Stack) -> None:
    texts = labelled(N_TEXTS)
    library = open_library(texts)
    asked = [
        Identifier(kind, otherwise_written(kind, value))
        for kind, value in dict.fromkeys(m for text in texts for m in text.mentions)
        # A name of one word is nobody's.
        if kind != "name" or len([w for w in value.split() if len(w) > 2]) > 1
    ]

    tallies = look_for(library, asked)

    assert sum(one.there for one in tallies.values()) > 30
    assert {kind: one.recall for kind, one in tallies.items() if one.recall < 1} == {}
    assert {kind: one.wrong for kind, one in tallies.items() if one.wrong} == {}


def _erase(library: Library, everybody: list[Person]) -> tuple[int, int, int, int]:
    few = everybody[:N_NAMESAKES]
    others = [namesake(one, everybody[-1 - n]) for n, one in enumerate(few)]
    drawn = random.Random(7)
    own = [library.store(note) for note in planted(few, drawn=drawn)]
    theirs = [library.store(note) for note in planted(others, drawn=drawn)]
    counted = erase_beside_namesakes(library, few, own, theirs)
    return counted.own_hidden, counted.offered_by_name, counted.offered_by_more, counted.survived


def test_namesakes_are_offered_by_name_and_survive(
    everybody: list[Person], database: Stack
) -> None:
    own_hidden, by_name, by_more, survived = _erase(open_library([]), everybody)

    assert own_hidden > 0
    assert by_name > 0
    assert (by_more, survived) == (0, N_NAMESAKES)


def test_a_name_taken_for_an_identifier_is_noticed(
    everybody: list[Person], database: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: who bears the name counts as found by an address."""
    find = mentions.documents_mentioning

    def confusing(identifiers: Sequence[Identifier]) -> dict[UUID, object]:
        kinds = {"name": "email"}
        return {
            one: type(found)({kinds.get(kind, kind): n for kind, n in found.items()})
            for one, found in find(identifiers).items()
        }

    monkeypatch.setattr("ambit.erasure.candidates.documents_mentioning", confusing)
    _, _, by_more, survived = _erase(open_library([]), everybody)

    assert by_more > 0
    assert survived < N_NAMESAKES
