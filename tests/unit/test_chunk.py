"""Chunks are exact cuts of the text, fit the model, and follow the document's own structure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ingest.chunk import (
    MAX_CRUMB_TOKENS,
    MAX_TOKENS,
    _n_tokens,
    chunk,
    embedded_text,
)
from workers.ingest.types import Block, ChunkSpan, ParsedText

MODEL_READS = 256


def document(*blocks: tuple[str, str, str, int | None]) -> ParsedText:
    """Join (kind, section, text, page) blocks as the parsers do."""
    text, made = "", []
    for kind, section, words, page in blocks:
        text += "\n\n" if text else ""
        made.append(Block(len(text), len(text) + len(words), section, page, kind))
        text += words
    return ParsedText(text=text, blocks=tuple(made), n_pages=None, mime="text/plain", parser="t")


def check(parsed: ParsedText) -> tuple[ChunkSpan, ...]:
    """Chunk, and hold every promise that does not depend on the document."""
    chunks = chunk(parsed, title="Title")
    at = 0
    for number, span in enumerate(chunks):
        assert span.ordinal == number
        assert span.text == parsed.text[span.char_start : span.char_end]
        assert span.text.strip()
        assert at <= span.char_start < span.char_end
        assert parsed.text[at : span.char_start].strip() == ""
        assert span.n_tokens <= MAX_TOKENS
        assert _n_tokens(embedded_text(title="Title", chunk=span)) <= MODEL_READS - 2
        at = span.char_end
    assert parsed.text[at:].strip() == ""
    return chunks


ANY = st.text(
    alphabet=st.one_of(
        st.sampled_from(' \n\t.,;!?。、)]"”'),
        st.characters(exclude_categories=["Cs", "Cc"]),
        st.sampled_from("abc漢한ß😀\u0301"),
    ),
    min_size=1,
    max_size=1500,
)
KINDS = st.sampled_from(["heading", "text", "table", "code"])
PAGES = st.one_of(st.none(), st.integers(1, 9))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KINDS, st.sampled_from(["", "A", "A › B"]), ANY, PAGES), max_size=8))
def test_any_document_is_cut_exactly_and_nothing_is_lost(
    blocks: list[tuple[str, str, str, int | None]],
) -> None:
    check(document(*blocks))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "word and " * 40_000,
        "\n" * 300_000 + "x",
        "x\n" * 50_000,
        "漢" * 60_000,
        "한국어문장" * 12_000,
        "." * 50_000,
        "a." * 30_000,
        "😀" * 30_000,
        "0123456789abcdef" * 8_000,
    ],
    ids=[
        "no spaces",
        "one line",
        "newlines",
        "short lines",
        "han",
        "hangul",
        "dots",
        "a.",
        "emoji",
        "hex",
    ],
)
def test_text_that_nobody_wrote_is_cut_too(text: str) -> None:
    check(document(("text", "", text, None)))


def test_a_chunk_never_crosses_a_section() -> None:
    parsed = document(
        ("heading", "", "One", 1),
        ("text", "One", "First words.", 1),
        ("text", "One", "More words.", 1),
        ("heading", "", "Two", 1),
        ("text", "Two", "Other words.", 2),
    )

    chunks = check(parsed)

    assert [(c.section, c.text) for c in chunks] == [
        ("One", "One\n\nFirst words.\n\nMore words."),
        ("Two", "Two\n\nOther words."),
    ]
    assert [(c.page_first, c.page_last) for c in chunks] == [(1, 1), (1, 2)]


def test_small_blocks_of_a_section_share_a_chunk_over_pages() -> None:
    chunks = check(document(*(("text", "S", f"Sentence number {n}.", n) for n in range(1, 8))))

    assert len(chunks) == 1
    assert (chunks[0].page_first, chunks[0].page_last) == (1, 7)


def test_text_without_pages_has_no_pages() -> None:
    assert check(document(("text", "", "Words.", None)))[0].page_first is None


def test_a_heading_without_text_is_kept() -> None:
    assert [c.text for c in check(document(("heading", "", "Alone", None)))] == ["Alone"]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentence = "The committee met on Tuesday and talked about the budget for next year."

    chunks = check(document(("text", "", " ".join([sentence] * 60), None)))

    assert len(chunks) > 3
    assert all(c.text.startswith("The") and c.text.endswith("year.") for c in chunks)
    assert all(c.n_tokens > MAX_TOKENS // 2 for c in chunks[:-1])


def test_a_table_is_cut_between_rows() -> None:
    rows = "\n".join(f"Name: Person {n}; Team: Red, west; City: Oslo. North." for n in range(200))

    chunks = check(document(("table", "", rows, None)))

    assert all(c.text.startswith("Name:") and c.text.endswith("North.") for c in chunks)


def test_the_same_text_is_cut_the_same_way() -> None:
    parsed = document(("text", "", "Some words. " * 500, None))

    assert chunk(parsed, title="a") == chunk(parsed, title="a")


def test_no_blocks_give_no_chunks() -> None:
    assert chunk(document(), title="x") == ()


def test_the_line_above_names_title_and_section_within_its_budget() -> None:
    def crumbs(title: str, section: str) -> str:
        span = ChunkSpan(0, 0, 1, None, None, section, "x")
        line, _, text = embedded_text(title=title, chunk=span).rpartition("\n")
        assert text == "x"
        assert _n_tokens(line) <= MAX_CRUMB_TOKENS
        return line

    assert crumbs("Handbook", "Travel › Rates") == "Handbook › Travel › Rates"
    assert crumbs("Handbook", "") == "Handbook"
    assert crumbs("", "") == ""
    long = crumbs("A very long title " * 20, "Outer " * 40 + " › " + "Inner heading")
    assert long.startswith("A very long title")
    assert long.endswith("› Inner heading")
