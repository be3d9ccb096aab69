"""What a hostile document can bring into a prompt and out of an answer: words inside its fence."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from ambit.answers.cite import cite
from ambit.answers.increments import SafeText
from ambit.answers.prompt import POLICY, build_messages, fitting
from ambit.answers.types import Draft
from ambit.corpus.types import Passage
from tests.injection.attacks import (
    CONTROL,
    CONTROL_WORDS,
    FAKE_FENCES,
    OTHER_LANGUAGES,
    attacks,
    survivors,
)
from tests.injection.hidings import HIDINGS, SEEN, Hiding
from tests.injection.shapes import ACTIVE, SHAPES
from workers.ingest.chunk import chunk
from workers.ingest.types import ParsedText

WRITTEN = (*OTHER_LANGUAGES, *FAKE_FENCES, *CONTROL_WORDS)
QUESTION = "How long is the notice period?"
NUMBER = re.compile(r"Passage \[(\d+)\]:")
LEFT_OUT = re.compile(r"\(\d+ less relevant passages were left out for length\.\)")


def instructions() -> list[str]:
    found = attacks()
    if not found:
        pytest.skip("../shared/data/injection is not here")
    return [*found, *OTHER_LANGUAGES]


def passages(parsed: ParsedText, *, title: str = "Notice") -> list[Passage]:
    return [
        Passage(
            chunk_id=UUID(int=span.ordinal),
            document_id=UUID(int=1000),
            version_id=UUID(int=1001),
            version=1,
            collection_id=UUID(int=1002),
            title=title,
            section=span.section,
            text=span.text,
            page_first=span.page_first,
            page_last=span.page_last,
            char_start=span.char_start,
            char_end=span.char_end,
            score=1.0,
            similarity=0.5,
        )
        for span in chunk(parsed, title=title)
    ]


def assert_fenced(given: list[Passage]) -> None:
    """Hold the prompt against what it may consist of, line by line."""
    system, user = build_messages(question=QUESTION, passages=given)
    supplied = fitting(passages=given)

    assert system == {"role": "system", "content": POLICY}
    lines = user["content"].splitlines()
    assert lines == user["content"].split("\n")
    assert lines[-1] == f"Question: {QUESTION}"
    outside = [line for line in lines[:-1] if line and not line.startswith("| ") and line != "|"]
    headings = [match[1] for line in outside if (match := NUMBER.fullmatch(line))]
    assert headings == [str(n) for n in range(1, len(supplied) + 1)]
    rest = [line for line in outside if not NUMBER.fullmatch(line)]
    assert len(rest) == (len(supplied) < len(given))
    assert all(LEFT_OUT.fullmatch(line) for line in rest)
    assert not CONTROL.search(user["content"])


@pytest.mark.parametrize("hiding", HIDINGS, ids=lambda hiding: hiding.name)
def test_what_nobody_sees_is_not_read_and_what_is_read_stays_in_its_fence(hiding: Hiding) -> None:
    hidden = instructions()

    parsed = hiding.read(hidden)

    assert SEEN in parsed.text
    found = survivors(hidden, parsed.text)
    if hiding.promised:
        assert found == []
    assert_fenced(passages(parsed))


@pytest.mark.parametrize("kind", ["plain text", "HTML: paragraph", "Word: paragraph"])
def test_fences_and_control_words_of_a_document_stay_words(kind: str) -> None:
    (hiding,) = (one for one in HIDINGS if one.name == kind)

    parsed = hiding.read(WRITTEN)

    assert_fenced(passages(parsed))
    for written in WRITTEN:
        assert_fenced(passages(parsed, title=f"Notice {written}"))


def test_the_ways_are_hidden_and_some_of_them_are_read() -> None:
    """Without this, a test above could pass because nothing is ever found."""
    seen = {h.name for h in HIDINGS if survivors(OTHER_LANGUAGES, h.read(OTHER_LANGUAGES).text)}

    assert {"plain text", "HTML: paragraph", "Word: paragraph"} <= seen
    assert len(HIDINGS) > 30


def test_the_prompt_holds_no_passage_but_those_given() -> None:
    hidden = instructions()
    given = passages(next(h for h in HIDINGS if h.name == "plain text").read(hidden))

    content = "\n".join(m["content"] for m in build_messages(question=QUESTION, passages=given[:1]))

    fenced = [line.removeprefix("|").strip() for line in content.split("\n") if line[:1] == "|"]
    known = " ".join(f"(Notice) {given[0].text}".split())
    assert " ".join(part for line in fenced for part in line.split()) == known
    for other in given[1:]:
        assert other.text not in content


def test_an_answer_of_an_attackers_words_is_inert() -> None:
    parsed = next(h for h in HIDINGS if h.name == "plain text").read([SEEN])
    given = passages(parsed)

    for attack, shape in zip(instructions(), SHAPES * 2, strict=False):
        text = f"{SEEN} [1]\n{attack}\n{shape} [1][9]"
        answer = cite(draft=Draft(text, "vllm", abstained=False), passages=given)
        assert not ACTIVE.search(answer.text)
        assert answer.unsupported
        assert {c.chunk_id for c in answer.citations} <= {p.chunk_id for p in given}
        safe = SafeText(passages=given)
        shown = "".join([*(safe.feed(piece).text for piece in text), safe.end().text])
        assert not ACTIVE.search(shown)
