"""Step 5 of 5. Keep of a draft what the supplied passages can answer for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ambit.answers import support
from ambit.answers.plain import MARKER_LABEL, MARKER_NUMBER, inert
from ambit.answers.sentences import sentences
from ambit.answers.types import Answer, Citation, Draft
from ambit.corpus.types import Passage

# Said when a model wrote an answer with no passage to write it from.
NOTHING_FOUND = "Nothing in the documents you may see answers this."

# [1], [1, 2], [1-3], [^1], [Passage 1], [[1]], 【1†source】.
_MARKERS = re.compile(
    rf"((?<![ \t])[ \t]++)?(?<![\[［【])[\[［【]++({MARKER_LABEL})(?:†[^\[\]【】]{{0,40}})?[\]］】]++",
    re.IGNORECASE,
)
_NUMBER_OR_RANGE = re.compile(rf"{MARKER_NUMBER}(?:\s*[–—-]\s*{MARKER_NUMBER})?", re.IGNORECASE)
# More digits than any passage number has, and than int() should be asked to read.
_MAX_DIGITS = 4
_MAX_PASSES = 20


def cite(*, draft: Draft, passages: Sequence[Passage]) -> Answer:
    """Return the answer as inert text whose markers are checked, renumbered and cited.

    A marker that points to no supplied passage is removed. Every citation quotes its passage letter
    for letter, at offsets into the version's text. NEVER returns a text written without passages.
    """
    if draft.abstained or not passages:
        text = (
            _checked(draft.text, citable=frozenset(), known="")
            if draft.abstained
            else NOTHING_FOUND
        )
        return _answer(draft=draft, text=text, abstained=True, citations=(), unsupported=())
    known = "\n".join(passage.text for passage in passages)
    text = _checked(draft.text, citable=_citable(draft=draft, passages=passages), known=known)
    text, cited = _renumbered(text)
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


def _checked(text: str, *, citable: frozenset[int], known: str) -> str:
    """Return the text inert, its markers spelt [n], those that point to nothing removed."""
    n_passages = max(citable, default=-1) + 1

    def respelt(match: re.Match[str]) -> str:
        space, label = match.groups()
        indexes = [i for i in _indexes(label, n_passages=n_passages) if i in citable]
        markers = "".join(f"[{index + 1}]" for index in dict.fromkeys(indexes))
        return (space or "") + markers if markers else ""

    # A marker taken out may bring together what it kept apart, such as < and b>: hence again.
    for _ in range(_MAX_PASSES):
        before = text
        text = _MARKERS.sub(respelt, inert(text, known=known)).strip()
        if text == before:
            return text
    return re.sub(r"[\[\]<>]", "", text)


def _renumbered(text: str) -> tuple[str, list[int]]:
    """Return the text with its markers numbered by first appearance, and the passage of each."""
    cited = list(dict.fromkeys(int(number) - 1 for number in re.findall(r"\[(\d+)\]", text)))
    numbers = {index: number for number, index in enumerate(cited, start=1)}
    return re.sub(r"\[(\d+)\]", lambda m: f"[{numbers[int(m[1]) - 1]}]", text), cited


def _indexes(label: str, *, n_passages: int) -> Iterator[int]:
    """Yield the 0-based passages that a marker names, ranges written out, none beyond the last."""
    for item in _NUMBER_OR_RANGE.findall(label):
        digits = re.findall(r"\d+", item)
        if any(len(d) > _MAX_DIGITS for d in digits):
            continue
        first, last = int(digits[0]), int(digits[-1])
        yield from range(max(first, 1) - 1, min(last, n_passages))


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
