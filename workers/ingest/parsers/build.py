"""Gather pieces of a document into one text with exact offsets; cleaning comes before any offset is fixed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from workers.ingest.parsers.failures import NoText, TooLarge
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.wire import MAX_SECTION
from workers.ingest.types import Block, ParsedText

_SEPARATOR = "\n\n"
_CRUMB = " › "
_MAX_HEADING = 120
_MAX_LEVEL = 9

# What a reader cannot see but a machine would read, or what Postgres refuses: NUL and other
# controls, zero-width and bidirectional controls, tag characters (hidden ASCII), unpaired surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff\ud800-\udfff]"
)
# Joiners carry meaning between letters of Arabic or Indic scripts and inside emoji, nowhere else.
_JOINERS = re.compile(
    "(?<![\u0590-\u1fff\u2070-\ufffd\U00010000-\U0010fffd])[\u200c\u200d]"
    "|[\u200c\u200d](?![\u0590-\u1fff\u2070-\ufffd\U00010000-\U0010fffd])"
)
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_TRAILING = re.compile(r"[ \t\u00a0\u3000]+(?=\n)")
_BLANK_LINES = re.compile(r"\n{3,}")
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """Give the text as stored: NFC, plain line ends, nothing invisible, at most one blank line."""
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii():
        text = _CONTROLS.sub("", text)
    else:
        text = _INVISIBLE.sub("", text)
        if "\u200c" in text or "\u200d" in text:
            text = _JOINERS.sub("", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    return _BLANK_LINES.sub(_SEPARATOR, _TRAILING.sub("", text + "\n")).strip("\n").rstrip()


def one_line(text: str) -> str:
    """Give the text with every run of white space as one space."""
    return _SPACES.sub(" ", text).strip()


class TextBuilder:
    """Collect a document's blocks in reading order and remember which headings stand above."""

    def __init__(self, *, limits: Limits, mime: str, parser: str, what: str) -> None:
        self._limits = limits
        self.mime, self._parser, self._what = mime, parser, what
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []
        self._section = ""
        self.n_pages: int | None = None

    def heading(self, text: str, *, level: int, page: int | None = None) -> None:
        """Add a heading; deeper ones before it no longer apply."""
        words = clean(one_line(text))
        if not words:
            return
        level = max(1, min(level, _MAX_LEVEL))
        self._headings = [(depth, name) for depth, name in self._headings if depth < level]
        self._section = self._crumbs()
        self._add(words, "heading", page)
        self._headings.append((level, words[:_MAX_HEADING].rstrip()))
        self._section = self._crumbs()

    def leave_sections(self) -> None:
        """Forget all headings, as at the start of a new slide or sheet."""
        self._headings, self._section = [], ""

    def text(self, text: str, *, page: int | None = None) -> None:
        """Add running text."""
        self._add(clean(text), "text", page)

    def code(self, text: str, *, page: int | None = None) -> None:
        """Add text whose line ends matter."""
        self._add(clean(text), "code", page)

    def table(self, lines: Iterable[str], *, page: int | None = None) -> None:
        """Add a table, one row a line."""
        self._add(clean("\n".join(lines)), "table", page)

    def result(self) -> ParsedText:
        """Give the whole; raise NoText where there is none."""
        if not self._blocks:
            raise NoText(self._what, self.n_pages or 0)
        return ParsedText(
            text=_SEPARATOR.join(self._parts),
            blocks=tuple(self._blocks),
            n_pages=self.n_pages,
            mime=self.mime,
            parser=self._parser,
        )

    def _add(self, words: str, kind: str, page: int | None) -> None:
        if not words or words.isspace():
            return
        start = self._length + (len(_SEPARATOR) if self._parts else 0)
        self._length = start + len(words)
        if self._length > self._limits.max_characters:
            raise TooLarge("characters", self._limits.max_characters)
        if len(self._blocks) >= self._limits.max_blocks:
            raise TooLarge("blocks", self._limits.max_blocks)
        if page is not None and page > self._limits.max_pages:
            raise TooLarge("pages", self._limits.max_pages)
        self._parts.append(words)
        self._blocks.append(
            Block(start=start, end=self._length, section=self._section, page=page, kind=kind)
        )

    def _crumbs(self) -> str:
        names = [name for _, name in self._headings]
        while len(names) > 1 and len(_CRUMB.join(names)) > MAX_SECTION:
            # The innermost heading says most about the text below it.
            del names[0]
        return _CRUMB.join(names)
