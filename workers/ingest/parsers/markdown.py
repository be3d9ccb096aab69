"""Markdown: headings become sections, fenced code and tables keep their lines."""

from __future__ import annotations

import re

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.decode import decode
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.tables import table_lines

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_DIVIDER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_DATA_URI = re.compile(r"\(data:[^)\s]{200,}\)")
_EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_CELL = re.compile(r"(?<!\\)\|")


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add the document block by block; comments, which no reader sees, are left out."""
    del limits
    text = _DATA_URI.sub("()", _COMMENT.sub("", decode(data, what=kind)))
    _Reader(builder).read(text.splitlines())


class _Reader:
    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._lines: list[str] = []

    def read(self, lines: list[str]) -> None:
        at = self._front_matter(lines)
        while at < len(lines):
            at = self._one(lines, at)
        self._flush()

    def _front_matter(self, lines: list[str]) -> int:
        if not lines or lines[0].strip() != "---":
            return 0
        for at, line in enumerate(lines[1:60], start=1):
            if line.strip() in ("---", "..."):
                self._builder.text("\n".join(lines[1:at]))
                return at + 1
        return 0

    def _one(self, lines: list[str], at: int) -> int:
        line = lines[at]
        fence = _FENCE.match(line)
        if fence:
            return self._code(lines, at, fence[1])
        heading = _HEADING.match(line)
        if heading:
            self._heading(heading[2], len(heading[1]))
            return at + 1
        below = lines[at + 1] if at + 1 < len(lines) else ""
        if "|" in line and "|" in below and _DIVIDER.match(below):
            return self._table(lines, at)
        if line.strip() and not self._lines and _UNDERLINE.match(below) and line[0] not in "-|>":
            self._heading(line.strip(), 1 if "=" in below else 2)
            return at + 2
        if line.strip():
            self._lines.append(line)
        else:
            self._flush()
        return at + 1

    def _heading(self, words: str, level: int) -> None:
        self._flush()
        words = _LINK.sub(r"\1", words)
        self._builder.heading(_EMPHASIS.sub(r"\2", words), level=level)

    def _code(self, lines: list[str], at: int, fence: str) -> int:
        self._flush()
        end = at + 1
        while end < len(lines) and not lines[end].strip().startswith(fence):
            end += 1
        self._builder.code("\n".join(lines[at + 1 : end]))
        return end + 1

    def _table(self, lines: list[str], at: int) -> int:
        self._flush()
        rows, end = [lines[at]], at + 2
        while end < len(lines) and "|" in lines[end]:
            rows.append(lines[end])
            end += 1
        cells = [[c.replace("\\|", "|") for c in _CELL.split(r.strip().strip("|"))] for r in rows]
        self._builder.table(table_lines(cells, header=True))
        return end

    def _flush(self) -> None:
        if self._lines:
            self._builder.text("\n".join(self._lines))
            self._lines = []
