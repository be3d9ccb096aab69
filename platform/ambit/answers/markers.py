"""Check the citation markers of a text that a model wrote; pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ambit.answers.plain import MARKER_LABEL, MARKER_NUMBER, defused, visible

# [1], [1, 2], [1-3], [^1], [Passage 1], [[1]], 【1†source】.
_MARKERS = re.compile(
    rf"((?<![ \t])[ \t]++)?(?<![\[［【])[\[［【]++({MARKER_LABEL})(?:†[^\[\]【】]{{0,40}})?[\]］】]++",
    re.IGNORECASE,
)
_NUMBER_OR_RANGE = re.compile(rf"{MARKER_NUMBER}(?:\s*[–—-]\s*{MARKER_NUMBER})?", re.IGNORECASE)
_NUMBERED = re.compile(r"\[(\d+)\]")
# More digits than any passage number has, and than int() should be asked to read.
_MAX_DIGITS = 4
_MAX_PASSES = 20


def checked(text: str, *, citable: Collection[int], known: str) -> str:
    """Return the text inert, its markers spelt [n], those that point to nothing removed.

    Citable are the 0-based indexes of passages. White space stays as it stands, but for what stands
    before a marker that is removed.
    """
    n_passages = max(citable, default=-1) + 1

    def respelt(match: re.Match[str]) -> str:
        space, label = match.groups()
        indexes = [i for i in _indexes(label, n_passages=n_passages) if i in citable]
        markers = "".join(f"[{index + 1}]" for index in dict.fromkeys(indexes))
        return (space or "") + markers if markers else ""

    text = visible(text)
    # A marker taken out may bring together what it kept apart, such as < and b>: hence again.
    for _ in range(_MAX_PASSES):
        before = text
        text = _MARKERS.sub(respelt, defused(text, known=known))
        if text == before:
            return text
    return re.sub(r"[\[\]<>]", "", text)


def renumbered(text: str, *, cited: list[int]) -> str:
    """Return the text with its markers numbered by first appearance; append to cited what is new.

    Cited lists the passage of each number: its first is that of [1].
    """

    def number(match: re.Match[str]) -> str:
        index = int(match[1]) - 1
        if index not in cited:
            cited.append(index)
        return f"[{cited.index(index) + 1}]"

    return _NUMBERED.sub(number, text)


def _indexes(label: str, *, n_passages: int) -> Iterator[int]:
    """Yield the 0-based passages that a marker names, ranges written out, none beyond the last."""
    for item in _NUMBER_OR_RANGE.findall(label):
        digits = re.findall(r"\d+", item)
        if any(len(d) > _MAX_DIGITS for d in digits):
            continue
        first, last = int(digits[0]), int(digits[-1])
        yield from range(max(first, 1) - 1, min(last, n_passages))
