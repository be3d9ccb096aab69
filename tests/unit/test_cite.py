from __future__ import annotations

import re
from typing import Literal
from uuid import UUID

import pytest

from ambit.answers.cite import NOTHING_FOUND, cite
from ambit.answers.types import Answer, Draft, Quote, Usage
from ambit.corpus.types import Passage

LEAVE = (
    "The handbook applies to everyone. Employees of the Lisbon office may carry over five days of "
    "leave until 31 March. Unused days are then lost."
)
INVOICES = "Invoices above 10,000 euros need two signatures. Ms. Carvalho signs for finance."
NOTICE = "The notice period is three months. It begins on 1 May 2024."
START = 1000


def passage(text: str, *, n: int, title: str = "") -> Passage:
    return Passage(
        chunk_id=UUID(int=100 + n),
        document_id=UUID(int=200 + n),
        version_id=UUID(int=300 + n),
        version=n,
        collection_id=UUID(int=400),
        title=title or f"Document {n}",
        section="",
        text=text,
        page_first=n,
        page_last=n + 1,
        char_start=START * n,
        char_end=START * n + len(text),
        score=1.0 / n,
        similarity=0.5,
    )


PASSAGES = (passage(LEAVE, n=1), passage(INVOICES, n=2), passage(NOTICE, n=3))


def draft(
    text: str,
    *,
    generator: Literal["extractive", "vllm"] = "vllm",
    quotes: tuple[Quote, ...] = (),
    abstained: bool = False,
) -> Draft:
    return Draft(text, generator, abstained, quotes, Usage(3, 2, 1))


def answer(text: str, *passages: Passage) -> Answer:
    return cite(draft=draft(text), passages=passages or PASSAGES)


def quotes(given: Answer) -> list[tuple[int, str]]:
    return [(citation.marker, citation.quote) for citation in given.citations]


def assert_every_marker_is_cited(given: Answer, passages: tuple[Passage, ...] = PASSAGES) -> None:
    markers = {int(n) for n in re.findall(r"\[(\d+)\]", given.text)}
    assert markers == {c.marker for c in given.citations} == set(range(1, len(markers) + 1))
    for citation in given.citations:
        source = next(p for p in passages if p.chunk_id == citation.chunk_id)
        start, end = citation.char_start - source.char_start, citation.char_end - source.char_start
        assert source.text[start:end] == citation.quote
        assert citation.quote.strip() == citation.quote != ""


def test_a_citation_quotes_the_sentence_that_supports_it_at_the_versions_offsets() -> None:
    given = answer("In Lisbon, five days of leave may be carried over [1].")

    (citation,) = given.citations
    expected = "Employees of the Lisbon office may carry over five days of leave until 31 March."
    assert citation.quote == expected
    assert citation.char_start == START + LEAVE.index(expected)
    assert citation.char_end == citation.char_start + len(expected)
    assert (citation.document_id, citation.version_id) == (UUID(int=201), UUID(int=301))
    assert (citation.version, citation.title) == (1, "Document 1")
    assert (citation.page_first, citation.page_last) == (1, 2)
    assert given.unsupported == ()
    assert given.usage == Usage(3, 2, 1)
    assert not given.abstained


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Five days of leave [999].", "Five days of leave."),
        ("Five days of leave [0].", "Five days of leave."),
        ("Five days of leave [4].", "Five days of leave."),
        ("Five days of leave [99999999999999999999].", "Five days of leave."),
        ("Five days of leave [1][2].", "Five days of leave [1][2]."),
        ("Five days of leave [1, 2].", "Five days of leave [1][2]."),
        ("Five days of leave [2,1,2].", "Five days of leave [1][2]."),
        ("Five days of leave [1;2 & 3].", "Five days of leave [1][2][3]."),
        ("Five days of leave [1-3].", "Five days of leave [1][2][3]."),
        ("Five days of leave [2–999].", "Five days of leave [1][2]."),
        ("Five days of leave [1, 999].", "Five days of leave [1]."),
        ("Five days of leave [3].", "Five days of leave [1]."),
        ("Five days of leave [[1]].", "Five days of leave [1]."),
        ("Five days of leave [[[1]][2]].", "Five days of leave [1][2]."),
        ("Five days of leave [^2].", "Five days of leave [1]."),
        ("Five days of leave [Passage 2].", "Five days of leave [1]."),
        ("Five days of leave 【2†source】.", "Five days of leave [1]."),
        ("Five days of leave [1](https://evil.example/x).", "Five days of leave [1]."),
        ("Five days of leave [1](a)(b).", "Five days of leave [1]."),
        ("Five days of leave [1][evil].", "Five days of leave [1]."),
        ("Five days of leave![1](https://evil.example/x.png)", "Five days of leave"),
        ("[Five days of leave][1]", "Five days of leave[1]"),
        ("Leave [2]. Leave [1]. Leave [2].", "Leave [1]. Leave [2]. Leave [1]."),
    ],
)
def test_markers_are_checked_and_renumbered(written: str, kept: str) -> None:
    given = answer(written)

    assert given.text == kept
    assert_every_marker_is_cited(given)


def test_renumbered_markers_still_point_to_their_passages() -> None:
    given = answer("The notice period is three months [3]. Two signatures are needed [2].")

    assert given.text == "The notice period is three months [1]. Two signatures are needed [2]."
    assert [c.chunk_id for c in given.citations] == [UUID(int=103), UUID(int=102)]
    assert given.unsupported == ()


def test_one_marker_may_have_two_quotes_and_none_twice() -> None:
    given = answer(
        "The notice period is three months [3]. It begins on 1 May 2024 [3]. "
        "Three months is the notice period [3]."
    )

    assert quotes(given) == [
        (1, "The notice period is three months."),
        (1, "It begins on 1 May 2024."),
    ]


def test_a_marker_after_the_full_stop_belongs_to_the_sentence_before() -> None:
    given = answer(
        "The notice period is three months. [3] Five days of leave may be carried over. [1]"
    )

    assert given.unsupported == ()
    assert given.citations[0].quote == "The notice period is three months."


def test_a_marker_on_its_own_line_belongs_to_the_sentence_before() -> None:
    assert answer("The notice period is three months.\n[3]").unsupported == ()


@pytest.mark.parametrize(
    "sentence",
    [
        "Six days of leave may be carried over [1].",
        "Invoices above 20,000 euros need two signatures [2].",
        "It begins on 2 May 2024 [3].",
        "It begins on 1 June 2024 [3].",
        "It begins on 1 May 2025 [3].",
        "In finance, Ms. Ferreira signs [2].",
        "Employees of the Porto office may carry over five days of leave [1].",
        "The notice period is three months [1].",
        "The canteen opens early and serves excellent soup [3].",
        "Five days of leave may be carried over.",
        "Five days of leave may be carried over [999].",
    ],
)
def test_a_sentence_its_citation_does_not_support_is_named(sentence: str) -> None:
    given = answer(f"{sentence} The notice period is three months [3].")

    (unsupported,) = given.unsupported
    assert unsupported in given.text
    assert re.sub(r"\W*(\[\d+\])?\.$", "", unsupported) in sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "Lisbon employees may carry over 5 days of leave [1].",
        "Invoices above 10.000 euros need 2 signatures [2].",
        "Invoices above 10000 euros need two signatures [2].",
        "For finance, Ms. Carvalho signs [2].",
        "It begins on 2024-05-01 [3].",
        "It begins on 01.05.2024 [3].",
        "It begins on May 1st, 2024 [3].",
        "Leave carries over until 31 March in Lisbon, the notice period is three months [1][3].",
        "According to Document 1, five days may be carried over [1].",
    ],
)
def test_a_sentence_in_other_spelling_is_supported(sentence: str) -> None:
    assert answer(sentence).unsupported == ()


def test_a_translation_is_named_as_unsupported_and_quotes_the_whole_passage() -> None:
    given = answer("Die Kündigungsfrist ist ein Vierteljahr [3].")

    assert quotes(given) == [(1, NOTICE)]
    assert len(given.unsupported) == 1


def test_japanese_is_compared_without_spaces() -> None:
    source = passage("有給休暇は5日まで繰り越せる。請求書には署名が二つ要る。", n=1)

    given = answer("有給休暇は5日まで繰り越せる。[1]", source)

    assert given.unsupported == ()
    assert quotes(given) == [(1, "有給休暇は5日まで繰り越せる。")]


def test_the_lines_of_a_wrapped_pdf_are_one_sentence_and_table_rows_are_not() -> None:
    source = passage(
        "The pressure of the pump in hall four must stay between\n2.5 and 3.1 bar.\n\n"
        "- Hall one: 4 bar\n- Hall two: 5 bar",
        n=1,
    )

    given = answer(
        "The pressure in hall four is 2.5 to 3.1 bar [1]. Hall two has 5 bar [1].", source
    )

    assert quotes(given) == [
        (1, "The pressure of the pump in hall four must stay between\n2.5 and 3.1 bar."),
        (1, "- Hall two: 5 bar"),
    ]


def extractive(text: str, *spans: Quote) -> Answer:
    return cite(draft=draft(text, generator="extractive", quotes=spans), passages=PASSAGES)


def test_an_extractive_draft_is_cited_by_its_own_spans() -> None:
    first = "Employees of the Lisbon office may carry over five days of leave until 31 March."
    start = LEAVE.index(first)

    given = extractive(
        f"{first} [1] The notice period is three months. [3]",
        Quote(0, start, start + len(first)),
        Quote(2, 0, 34),
        Quote(2, 0, 34),
    )

    assert quotes(given) == [(1, first), (2, "The notice period is three months.")]
    assert given.citations[0].char_start == START + start
    assert given.citations[1].char_start == 3 * START
    assert given.text == f"{first} [1] The notice period is three months. [2]"
    assert given.unsupported == ()
    assert_every_marker_is_cited(given)


@pytest.mark.parametrize(
    "span",
    [
        Quote(0, 5, 5),
        Quote(0, -1, 5),
        Quote(0, 5, 2),
        Quote(0, 0, 10_000),
        Quote(-3, 0, 5),
        Quote(9, 0, 5),
    ],
)
def test_an_extractive_marker_without_a_valid_span_is_removed(span: Quote) -> None:
    given = extractive("Five days. [1] Three months. [3]", span, Quote(2, 0, 34))

    assert given.text == "Five days. Three months. [1]"
    assert quotes(given) == [(1, "The notice period is three months.")]


def test_an_abstention_has_no_citation() -> None:
    given = cite(draft=draft("Nothing found [1].", abstained=True), passages=PASSAGES)

    assert (given.text, given.abstained) == ("Nothing found.", True)
    assert (given.citations, given.unsupported) == ((), ())


def test_a_text_written_without_passages_never_leaves() -> None:
    given = cite(draft=draft("The president is Bob [1]."), passages=())

    assert (given.text, given.abstained) == (NOTHING_FOUND, True)
    assert given.citations == ()


def test_cited_content_stays_out_of_what_is_printed() -> None:
    given = answer("The notice period is three months [3].")

    assert "notice" not in repr(given)
    assert "notice" not in repr(given.citations)
