from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from ambit.answers import ground as grounding
from ambit.answers.ground import Groundedness, ground
from ambit.answers.queries import _answer
from ambit.answers.types import Quote
from ambit.inference.types import Vector
from tests.unit.test_cite import NOTICE, PASSAGES, answer, extractive, passage

CITED = (0, 1, 2)


class Encoder:
    """What ground() is given to ask for similarity: the same vector for all, and what was asked."""

    def __init__(self, *, alike: bool) -> None:
        self.asked: list[list[str]] = []
        self.alike = alike

    def __call__(self, texts: Sequence[str]) -> list[Vector]:
        self.asked.append(list(texts))
        n = len(texts)
        return list(np.ones((n, 1)) if self.alike else np.eye(n))


def grounded(text: str, encoder: Encoder | None = None) -> Groundedness:
    return ground(text=text, passages=PASSAGES, cited=CITED, embed=encoder)


def test_a_sentence_is_told_by_its_span_and_its_markers() -> None:
    text = "Two signatures are needed above 10,000 euros. [2] The notice period is three months [3][1]."

    found = grounded(text)

    assert [text[s.start : s.end] for s in found.sentences] == [text[:49], text[50:]]
    assert [s.markers for s in found.sentences] == [(2,), (3, 1)]
    assert (found.share_supported, found.citations_valid) == (1.0, True)


@pytest.mark.parametrize(
    ("sentence", "numbers", "names"),
    [
        ("Invoices above 20,000 euros need two signatures [2].", False, True),
        ("It begins on 1 June 2024 [3].", False, True),
        ("For finance, Ms. Ferreira signs [2].", True, False),
        ("In Porto, employees of the office may carry over five days of leave [1].", True, False),
    ],
)
def test_a_number_a_date_or_a_name_of_its_own_is_never_supported(
    sentence: str, *, numbers: bool, names: bool
) -> None:
    (found,) = grounded(sentence, Encoder(alike=True)).sentences

    assert (found.numbers_covered, found.names_covered) == (numbers, names)
    assert not found.supported


def test_a_sentence_that_cites_nothing_is_not_supported_whatever_it_says() -> None:
    found = grounded("The notice period is three months.", Encoder(alike=True))

    assert not found.sentences[0].supported
    assert not found.citations_valid


@pytest.mark.parametrize("marker", [0, 4, 99])
def test_a_marker_to_nowhere_is_not_valid(marker: int) -> None:
    found = grounded(f"The notice period is three months [3][{marker}].")

    assert not found.citations_valid
    assert found.sentences[0].supported


def test_the_share_is_of_sentences() -> None:
    found = grounded("The notice period is three months [3]. The canteen serves soup [3].")

    assert found.share_supported == 0.5


def test_an_empty_text_is_supported_in_nothing() -> None:
    found = grounded("")

    assert (found.share_supported, found.citations_valid, found.sentences) == (0.0, False, ())


UNDECIDED = "Whoever leaves must respect a notice interval, which lasts months [3]."


def test_where_words_do_not_decide_similarity_does() -> None:
    (found,) = grounded(UNDECIDED).sentences
    assert grounding.WORDS_UNDECIDED <= found.words_covered < grounding.WORDS_COVERED
    assert not found.supported

    (similar,) = grounded(UNDECIDED, Encoder(alike=True)).sentences
    assert similar == replace(found, similarity=1.0, supported=True)
    (other,) = grounded(UNDECIDED, Encoder(alike=False)).sentences
    assert other == replace(found, similarity=0.0)


def test_similarity_is_asked_for_once_and_for_nothing_decided() -> None:
    encoder = Encoder(alike=True)

    grounded(f"{UNDECIDED} The notice period is three months [3]. Soup is served [3].", encoder)
    assert encoder.asked == [[UNDECIDED.replace("[3]", " "), "The notice period is three months."]]
    grounded(" ".join([UNDECIDED] * 100), encoder)
    assert len(encoder.asked) == 2
    grounded("The notice period is three months [3].", encoder)
    assert len(encoder.asked) == 2


def test_a_german_date_ends_no_sentence_and_german_nouns_are_no_names() -> None:
    source = passage("Der Resturlaub verfällt nach dem 31. März, wenn er nicht genommen wird.", n=1)

    found = ground(
        text="Nach dem 31. März verfällt der Resturlaub, der nicht im Jahr genommen ist [1].",
        passages=[source],
        cited=[0],
    )

    assert found.share_supported == 1.0


@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [
        (
            "पैंथर्स की रक्षा ने केवल 308 अंक दिए और लीग में छठे स्थान पर रही।",
            "पैंथर्स की रक्षा ने 308 अंक दिए।",
            "टीम के प्रशिक्षक ने पुराने खिलाड़ी चुने।",
        ),
        (
            "พนักงานลาพักร้อนได้ปีละสิบห้าวันและยกไปปีหน้าได้ห้าวัน",
            "พนักงานลาพักร้อนได้ปีละสิบห้าวัน",
            "อาหารกลางวันเสิร์ฟที่ชั้นสองของตึก",
        ),
        (
            "有給休暇は5日まで繰り越せる。",
            "有給休暇は5日まで繰り越せる。",
            "食堂は朝早くから開いている。",
        ),
    ],
)
def test_scripts_of_other_kinds_are_compared(source: str, right: str, wrong: str) -> None:
    def share(text: str) -> float:
        found = ground(text=f"{text} [1]", passages=[passage(source, n=1)], cited=[0])
        return found.share_supported

    assert (share(right), share(wrong)) == (1.0, 0.0)


def test_an_answer_says_how_much_of_it_is_supported() -> None:
    given = answer("The notice period is three months [3]. The canteen serves soup [3].")

    assert given.groundedness == 0.5
    assert given.unsupported == ("The canteen serves soup [1].",)


def test_quotes_are_grounded_by_construction_and_abstentions_in_nothing() -> None:
    assert extractive("Three months. [3]", Quote(2, 0, len(NOTICE))).groundedness == 1.0
    assert answer("The president is Bob.", *()).groundedness == 0.0


def test_an_answer_saved_before_groundedness_was_is_still_read() -> None:
    given = answer("The notice period is three months [3].")
    kept = json.loads(json.dumps(asdict(given), default=str))

    assert _answer(kept) == given
    del kept["groundedness"]
    assert _answer(kept) == replace(given, groundedness=None)
