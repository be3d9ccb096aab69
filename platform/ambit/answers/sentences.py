"""Find where sentences begin and end; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What ends a sentence, with the closing quotes and citation markers that belong to it.
_END = re.compile(
    r"[.!?…]+[\"'”’»)]*(?:[ ]*\[\d+\])*(?=\s|$)"
    r"|[。！？]+[」』”）]*(?:[ ]*\[\d+\])*"
    r"|\n"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|e\.g|i\.e|z\.\s?B|d\.\s?h|cf|vs|approx|ca|dr|mr|mrs|ms|prof)$",
    re.IGNORECASE,
)
# These only before a number: "no" and "art" end sentences, too.
_NUMBERED = re.compile(r"(?:^|[\s(])(?:no|nos|nr|art|sec|fig|p|pp)$", re.IGNORECASE)
# The 31. of März: a day before its month, in German.
_DAY = re.compile(r"(?:^|[\s(])\d{1,2}$")
_MONTH = re.compile(r"\.\s(?:Jan|Feb|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez)")
_VISIBLE = re.compile(r"\S")
_BLOCK_START = re.compile(r"\s*(?:[-*•|#>]|\d+[.)]\s)")
# A shorter line, before one that does not go on in lower case, was ended by its writer, not its
# page.
_WRAPPED_LINE = 50


def sentences(text: str, *, wrapped: bool) -> list[tuple[int, int]]:
    """Return the trimmed spans of the sentences, in order.

    Markers after a full stop belong to the sentence before it. Wrapped says that a line break may
    fall inside a sentence, as in the text of a PDF.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _ends(text, wrapped=wrapped):
        _append(spans, text, start, end)
        start = end
    _append(spans, text, start, len(text))
    return spans


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without the white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _ends(text: str, *, wrapped: bool) -> Iterator[int]:
    for match in _END.finditer(text):
        if match.group() == "\n":
            if not wrapped or _ends_a_block(text, match.start()):
                yield match.end()
            continue
        if match.group() != "." or not _goes_on(text, match.start()):
            yield match.end()


def _goes_on(text: str, full_stop: int) -> bool:
    """Say whether the full stop belongs to an abbreviation or is followed by lower case."""
    before = text[max(0, full_stop - 12) : full_stop]
    following = _next_visible(text, full_stop + 1)
    if following.isdigit() and _NUMBERED.search(before):
        return True
    if _DAY.search(before) and _MONTH.match(text, full_stop):
        return True
    return following.islower() or _ABBREVIATION.search(before) is not None


def _ends_a_block(text: str, newline: int) -> bool:
    line_start = text.rfind("\n", 0, newline) + 1
    next_character = _next_visible(text, newline + 1)
    if text[newline + 1 : newline + 2] == "\n" or not next_character:
        return True
    if _BLOCK_START.match(text, newline + 1):
        return True
    return newline - line_start < _WRAPPED_LINE and not next_character.islower()


def _next_visible(text: str, position: int) -> str:
    match = _VISIBLE.search(text, position)
    return match.group() if match else ""


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    start, end = trimmed(text, start, end)
    if start == end:
        return
    without_markers = re.sub(r"\[\d+\]", "", text[start:end])
    if spans and not any(c.isalnum() for c in without_markers):
        # Markers or dashes on a line of their own speak for what stands before them.
        spans[-1] = (spans[-1][0], end)
    else:
        spans.append((start, end))
