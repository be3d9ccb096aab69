"""Step 5 of 5. Keep of a draft what the supplied passages can answer for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ambit.answers import support
from ambit.answers.markers import checked, renumbered
from ambit.answers.plain import tidied
from ambit.answers.sentences import sentences
from ambit.answers.types import Answer, Citation, Draft
from ambit.answers.values import spans_behind
from ambit.corpus.types import Passage

# Said when a model wrote an answer with no passage to write it from.
NOTHING_FOUND = "Nothing in the documents you may see answers this."


def cite(*, draft: Draft, passages: Sequence[Passage]) -> Answer:
    """Return the answer as inert text whose markers are checked, renumbered and cited.

    A marker that points to no supplied passage is removed. Every citation quotes its passage letter
    for letter, at offsets into the version's text. NEVER returns a text written without passages, but
    for an adapter's that was asked without them.
    """
    if not draft.grounded and not draft.abstained:
        text = tidied(checked(draft.text, citable=frozenset(), known=""))
        return _answer(draft=draft, text=text, abstained=False, citations=(), unsupported=())
    if draft.abstained or not passages:
        text = (
            tidied(checked(draft.text, citable=frozenset(), known=""))
            if draft.abstained
            else NOTHING_FOUND
        )
        return _answer(draft=draft, text=text, abstained=True, citations=(), unsupported=())
    if draft.value is not None:
        return _of_value(draft=draft, passages=passages)
    known = "\n".join(passage.text for passage in passages)
    cited: list[int] = []
    text = checked(draft.text, citable=_citable(draft=draft, passages=passages), known=known)
    text = renumbered(tidied(text), cited=cited)
    if draft.generator == "extractive":
        citations = tuple(_from_quotes(draft=draft, passages=passages, cited=cited))
        unsupported: tuple[str, ...] = ()
    else:
        citations = tuple(_from_sentences(text=text, passages=passages, cited=cited))
        unsupported = tuple(_unsupported(text=text, passages=passages, cited=cited))
    unique: dict[tuple[int, str], Citation] = {}
    for citation in citations:
        unique.setdefault((citation.marker, citation.quote), citation)
    return _answer(
        draft=draft,
        text=text,
        abstained=False,
        citations=tuple(sorted(unique.values(), key=lambda c: c.marker)),
        unsupported=unsupported,
    )


def _answer(
    *,
    draft: Draft,
    text: str,
    abstained: bool,
    citations: tuple[Citation, ...],
    unsupported: tuple[str, ...],
) -> Answer:
    return Answer(
        text=text,
        abstained=abstained,
        generator=draft.generator,
        citations=citations,
        unsupported=unsupported,
        usage=draft.usage,
        value=draft.value,
        cut_short=draft.cut_short,
    )


def _of_value(*, draft: Draft, passages: Sequence[Passage]) -> Answer:
    spans, unsupported, _ = spans_behind(draft.value, passages=passages)
    cited = list(dict.fromkeys(index for index, _, _ in spans))
    citations = [
        _citation(passages[index], marker=cited.index(index) + 1, start=start, end=end)
        for index, start, end in spans
    ]
    return _answer(
        draft=draft,
        text=draft.text,
        abstained=False,
        citations=tuple(sorted(citations, key=lambda c: c.marker)),
        unsupported=tuple(unsupported),
    )


def _citable(*, draft: Draft, passages: Sequence[Passage]) -> frozenset[int]:
    """Return the indexes of the passages that a marker may point to."""
    if draft.generator != "extractive":
        return frozenset(range(len(passages)))
    return frozenset(
        quote_index for quote_index, _, _ in _valid_spans(draft=draft, passages=passages)
    )


def _valid_spans(*, draft: Draft, passages: Sequence[Passage]) -> Iterator[tuple[int, int, int]]:
    for quote in draft.quotes:
        if not 0 <= quote.passage_index < len(passages):
            continue
        if 0 <= quote.start < quote.end <= len(passages[quote.passage_index].text):
            yield quote.passage_index, quote.start, quote.end


def _from_quotes(
    *, draft: Draft, passages: Sequence[Passage], cited: list[int]
) -> Iterator[Citation]:
    for index, start, end in _valid_spans(draft=draft, passages=passages):
        if index in cited:
            yield _citation(passages[index], marker=cited.index(index) + 1, start=start, end=end)


def _from_sentences(
    *, text: str, passages: Sequence[Passage], cited: list[int]
) -> Iterator[Citation]:
    for statement, markers in _statements(text):
        claim = support.facts(_claim(statement))
        for marker in markers:
            passage = passages[cited[marker - 1]]
            start, end = support.best_sentence(claim, text=passage.text)
            if start < end:
                yield _citation(passage, marker=marker, start=start, end=end)


def _unsupported(*, text: str, passages: Sequence[Passage], cited: list[int]) -> Iterator[str]:
    """Yield, as it stands, each sentence that cites nothing or says what its passages do not."""
    for statement, markers in _statements(text):
        sources = [passages[cited[marker - 1]] for marker in markers]
        # The title and the heading belong to what was shown as the passage.
        shown = "\n".join(f"{p.title}\n{p.section}\n{p.text}" for p in sources)
        claim = support.facts(_claim(statement))
        if not sources or not support.is_covered(claim, by=support.vocabulary(shown)):
            yield statement


def _statements(text: str) -> Iterator[tuple[str, list[int]]]:
    for start, end in sentences(text, wrapped=False):
        statement = text[start:end]
        markers = [int(number) for number in re.findall(r"\[(\d+)\]", statement)]
        yield statement, list(dict.fromkeys(markers))


def _claim(statement: str) -> str:
    return re.sub(r"\[\d+\]", " ", statement)


def _citation(passage: Passage, *, marker: int, start: int, end: int) -> Citation:
    return Citation(
        marker=marker,
        document_id=passage.document_id,
        version_id=passage.version_id,
        version=passage.version,
        chunk_id=passage.chunk_id,
        title=passage.title,
        page_first=passage.page_first,
        page_last=passage.page_last,
        char_start=passage.char_start + start,
        char_end=passage.char_start + end,
        quote=passage.text[start:end],
    )
