"""PDF: page by page, headings by size of type, running headers once, words cut at line ends joined."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.failures import CorruptFile, EmptyFile, EncryptedFile, TooLarge
from workers.ingest.parsers.limits import Limits

_PASSWORD_NEEDED = 4
_HEADING_RATIO = 1.15
_MAX_HEADING = 150
_MIN_PAGES_TO_COMPARE = 4
_EDGE_LINES = 3
_NO_PAGES = re.compile(
    rb"/Type\s*/Pages\b[^>]{0,500}/Count\s+0\b|/Count\s+0\b[^>]{0,500}/Type\s*/Pages\b"
)
_DIGITS = re.compile(r"\d+")
# How pdfium marks a hyphen at the end of a line, and what follows it.
_CUT = re.compile("[\ufffe\x02\u00ad]([a-zß-ÿ]?)")
_BOLD_LEVEL = 7
_MAX_BOLD_HEADING = 90
_HYPHENATED = re.compile(r"[^\W\d_]{2,}-$")


@dataclass(slots=True)
class _Line:
    text: str
    size: float
    bold: bool = False


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add every page's text; raise where it is encrypted, damaged, without pages or with too many."""
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_NEEDED or "password" in str(error).lower():
            raise EncryptedFile(kind) from None
        # pdfium opens no document without pages, and gives no reason.
        raise (EmptyFile if _NO_PAGES.search(data) else CorruptFile)(kind) from None
    n_pages = len(document)
    if n_pages == 0:
        raise EmptyFile(kind)
    if n_pages > limits.max_pages:
        raise TooLarge("pages", limits.max_pages)
    builder.n_pages = n_pages
    pages: list[list[_Line]] = []
    n_characters = 0
    for number in range(n_pages):
        lines = _lines(document, number)
        n_characters += sum(len(line.text) for line in lines)
        if n_characters > limits.max_characters:
            raise TooLarge("characters", limits.max_characters)
        pages.append(lines)
    _drop_running(pages)
    levels = _levels(pages, _body_size(pages))
    _judge_bold(pages)
    for number, lines in enumerate(pages, start=1):
        _add_page(lines, levels, builder, number)


def _lines(document: pypdfium2.PdfDocument, number: int) -> list[_Line]:
    try:
        page = document[number]
        if pdfium.FPDFPage_GetAnnotCount(page) > 0:
            # What was typed into a form is drawn by annotations, which are no text until flattened.
            pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
            page.close()
            page = document[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        # One damaged page does not cost the others.
        return []
    try:
        n_characters = pdfium.FPDFText_CountChars(text_page)
        if n_characters <= 0:
            return []
        text = _all_text(text_page, n_characters)
        lines, at = [], 0
        for raw in re.split(r"(\r\n|\n|\r)", text):
            words = raw.strip()
            if words:
                first = at + raw.index(words[0])
                bold = _bold(text_page, first) and _bold(text_page, first + len(words) - 1)
                lines.append(_Line(words, _size(text_page, first), bold))
            at += len(raw)
        return lines
    finally:
        text_page.close()
        page.close()


def _all_text(text_page: pypdfium2.PdfTextPage, n_characters: int) -> str:
    buffer = (ctypes.c_ushort * (n_characters * 2 + 1))()
    written = pdfium.FPDFText_GetText(text_page, 0, n_characters, buffer)
    raw = bytes(buffer)[: max(written - 1, 0) * 2]
    return raw.decode("utf-16-le", errors="replace")


def _size(text_page: pypdfium2.PdfTextPage, text_index: int) -> float:
    """Give the height of type at a place in the text, in points as drawn, rounded to a half."""
    index = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, text_index)
    if index < 0:
        return 0.0
    box = pdfium.FS_RECTF()
    if not pdfium.FPDFText_GetLooseCharBox(text_page, index, box):
        return 0.0
    return round(abs(float(box.top) - float(box.bottom)) * 2) / 2


def _bold(text_page: pypdfium2.PdfTextPage, text_index: int) -> bool:
    index = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, text_index)
    if index < 0:
        return False
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    length = pdfium.FPDFText_GetFontInfo(text_page, index, name, 128, flags)
    return 0 < length <= 128 and re.search(rb"bold|black|heavy", name.raw, re.I) is not None


def _drop_running(pages: list[list[_Line]]) -> None:
    """Keep lines that recur at the edge of most pages only where they come first."""
    if len(pages) < _MIN_PAGES_TO_COMPARE:
        return
    seen: Counter[str] = Counter()
    for lines in pages:
        seen.update({_pattern(line) for line in _edges(lines)})
    running = {words for words, n in seen.items() if n >= max(3, 0.6 * len(pages))}
    kept: set[str] = set()
    for lines in pages:
        for line in _edges(lines):
            words = _pattern(line)
            if words in running:
                if words in kept:
                    line.text = ""
                kept.add(words)


def _edges(lines: list[_Line]) -> list[_Line]:
    if len(lines) <= 2 * _EDGE_LINES:
        return lines
    return lines[:_EDGE_LINES] + lines[-_EDGE_LINES:]


def _pattern(line: _Line) -> str:
    return _DIGITS.sub("#", line.text)


def _body_size(pages: list[list[_Line]]) -> float:
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _levels(pages: list[list[_Line]], body: float) -> dict[float, int]:
    """Give each size of type clearly above the body's a level, the largest first."""
    if body <= 0:
        return {}
    sizes: Counter[float] = Counter()
    total = 0
    for lines in pages:
        for line in lines:
            total += len(line.text)
            if line.size >= body * _HEADING_RATIO and _could_be_heading(line.text):
                sizes[line.size] += len(line.text)
    # Where much of the text is large, size says nothing about headings.
    if sum(sizes.values()) > 0.3 * total:
        return {}
    return {size: level for level, size in enumerate(sorted(sizes, reverse=True)[:6], start=1)}


def _judge_bold(pages: list[list[_Line]]) -> None:
    """Let bold lines pass as headings only where bold is rare, and the line stands alone."""
    every = [line for lines in pages for line in lines]
    bold = sum(len(line.text) for line in every if line.bold)
    rare = bold < 0.2 * sum(len(line.text) for line in every)
    for line in every:
        alone = len(line.text) <= _MAX_BOLD_HEADING and line.text[-1:] not in tuple(".,;:!?")
        line.bold = line.bold and rare and alone and _could_be_heading(line.text)


def _could_be_heading(words: str) -> bool:
    return len(words) <= _MAX_HEADING and sum(map(str.isalpha, words)) >= max(2, len(words) // 3)


def _add_page(
    lines: list[_Line], levels: dict[float, int], builder: TextBuilder, page: int
) -> None:
    running: list[str] = []
    heading: list[str] = []
    level = 0
    for line in [*lines, _Line("", -1.0)]:
        its_level = levels.get(line.size, 0) if _could_be_heading(line.text) else 0
        if line.bold and not its_level:
            its_level = _BOLD_LEVEL
        if heading and (its_level != level or len(" ".join(heading)) > _MAX_HEADING):
            builder.heading(" ".join(heading), level=level, page=page)
            heading = []
        if its_level:
            _flush(running, builder, page)
            running = []
            heading.append(line.text)
            level = its_level
        elif line.text:
            running.append(line.text)
    _flush(running, builder, page)


def _flush(lines: list[str], builder: TextBuilder, page: int) -> None:
    if lines:
        builder.text("".join(_joined(lines)), page=page)


def _joined(lines: list[str]) -> Iterator[str]:
    """Join words that were cut at the end of a line; keep the other line ends."""
    for at, line in enumerate(lines):
        line = _CUT.sub(lambda cut: cut[1] if cut[1] or cut.end() == len(cut.string) else "-", line)
        last = at + 1 == len(lines)
        if last or _CUT.search(lines[at][-1:]):
            yield line
        elif _HYPHENATED.search(line) and lines[at + 1][:1].islower():
            yield line[:-1]
        else:
            yield line + "\n"
