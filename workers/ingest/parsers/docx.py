"""Word documents: paragraphs, headings by style, lists, tables, text boxes and notes, in reading order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.failures import CorruptFile
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.ooxml import Package, attribute, child, local, shown_children
from workers.ingest.parsers.tables import table_lines
from workers.ingest.parsers.unseen import WordStyles

_MAIN = "word/document.xml"
_NAMED_HEADING = re.compile(r"heading\s*([1-9])\Z", re.I)
# Deleted and moved-away text, field codes, and what is not words.
_UNSEEN = frozenset(
    [
        "del",
        "moveFrom",
        "instrText",
        "delText",
        "delInstrText",
        "rPr",
        "pPr",
        "tblPr",
        "trPr",
        "tcPr",
        "sectPr",
        "proofErr",
        "rt",
        "footnoteReference",
        "endnoteReference",
        "commentReference",
        "annotationRef",
    ]
)
_TRANSPARENT = frozenset(
    [
        "hyperlink",
        "ins",
        "moveTo",
        "smartTag",
        "sdt",
        "sdtContent",
        "fldSimple",
        "customXml",
        "dir",
        "bdo",
        "ruby",
        "rubyBase",
        "oMath",
        "oMathPara",
        "object",
    ]
)


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add the document's visible text; raise CorruptFile where its XML is damaged."""
    del limits
    package = Package(data, kind=kind)
    document = package.xml(_MAIN)
    body = child(document, "body")
    if body is None:
        raise CorruptFile(kind)
    styles = WordStyles(package, document=document)
    reader = _Reader(builder, _levels(package), styles, paged=_is_paged(body))
    try:
        reader.blocks(body)
        builder.n_pages = reader.page
        builder.leave_sections()
        for kind_of_part, target in package.relations(_MAIN).values():
            if kind_of_part in ("footnotes", "endnotes") and package.has(target):
                reader.notes(package.xml(target))
    except RecursionError:
        raise CorruptFile(kind) from None


def _is_paged(body: etree._Element) -> bool:
    return any(local(element) == "lastRenderedPageBreak" for element in body.iter())


def _levels(package: Package) -> dict[str, int]:
    """Map paragraph styles to heading levels, following what a style is based on."""
    if not package.has("word/styles.xml"):
        return {}
    own: dict[str, int] = {}
    parent: dict[str, str] = {}
    for style in package.xml("word/styles.xml"):
        name = attribute(child(style, "name"), "val") or ""
        ident = attribute(style, "styleId")
        if local(style) != "style" or ident is None:
            continue
        parent[ident] = attribute(child(style, "basedOn"), "val") or ""
        outline = attribute(child(style, "pPr", "outlineLvl"), "val") or ""
        named = _NAMED_HEADING.match(name)
        if named:
            own[ident] = int(named[1]) + 1
        elif name.lower() == "title":
            own[ident] = 1
        elif outline.isdecimal():
            # Nine means body text.
            own[ident] = int(outline) + 2 if int(outline) < 9 else 0
    levels = {}
    for ident in parent:
        at, steps = ident, 0
        while at and at not in own and steps < 20:
            at, steps = parent.get(at, ""), steps + 1
        if own.get(at):
            levels[ident] = own[at]
    return levels


class _Reader:
    def __init__(
        self, builder: TextBuilder, levels: dict[str, int], styles: WordStyles, *, paged: bool
    ) -> None:
        self._builder, self._levels, self._styles = builder, levels, styles
        self.page: int | None = 1 if paged else None
        self._boxes: list[etree._Element] = []

    def blocks(self, parent: etree._Element) -> None:
        """Add every paragraph and table below a body, cell or text box."""
        lines: list[str] = []
        page = self.page
        for element in shown_children(parent):
            name = local(element)
            if name == "p":
                level = self._level(element)
                start, words = self.page, self._words(element)
                item = words.strip() and self._in_list(element)
                if lines and (level or not item or start != page):
                    self._builder.text("\n".join(lines), page=page)
                    lines = []
                page = start if not lines else page
                if level and words.strip():
                    self._builder.heading(words, level=level, page=start)
                elif item:
                    lines.append(f"- {words}")
                else:
                    self._builder.text(words, page=start)
                self._text_boxes()
                continue
            if lines:
                self._builder.text("\n".join(lines), page=page)
                lines = []
            if name == "tbl":
                self._table(element)
            elif name in ("sdt", "sdtContent", "customXml", "ins", "moveTo"):
                self.blocks(element)
        if lines:
            self._builder.text("\n".join(lines), page=page)

    def notes(self, part: etree._Element) -> None:
        """Add foot- or endnotes, leaving out the separators."""
        for note in part:
            if local(note) in ("footnote", "endnote") and attribute(note, "type") is None:
                self.blocks(note)

    def _text_boxes(self) -> None:
        boxes, self._boxes = self._boxes, []
        for box in boxes:
            self.blocks(box)

    def _level(self, paragraph: etree._Element) -> int:
        properties = child(paragraph, "pPr")
        outline = attribute(child(properties, "outlineLvl"), "val") or ""
        if outline.isdecimal():
            return int(outline) + 2 if int(outline) < 9 else 0
        return self._levels.get(attribute(child(properties, "pStyle"), "val") or "", 0)

    def _in_list(self, paragraph: etree._Element) -> bool:
        number = attribute(child(paragraph, "pPr", "numPr", "numId"), "val")
        return number is not None and number != "0"

    def _words(self, parent: etree._Element) -> str:
        return "".join(self._pieces(parent))

    def _pieces(self, parent: etree._Element) -> Iterator[str]:
        for element in shown_children(parent):
            name = local(element)
            if name == "t":
                yield element.text or ""
            elif name == "r":
                if not self._styles.hides(element):
                    yield from self._pieces(element)
            elif name == "tab":
                yield "\t"
            elif name in ("br", "cr"):
                yield "\n"
            elif name == "noBreakHyphen":
                yield "-"
            elif name == "lastRenderedPageBreak":
                self.page = (self.page or 0) + 1
            elif name in ("drawing", "pict"):
                self._boxes += [e for e in element.iter() if local(e) == "txbxContent"]
            elif name in _TRANSPARENT or (name not in _UNSEEN and len(element)):
                yield from self._pieces(element)

    def _table(self, table: etree._Element) -> None:
        page = self.page
        rows = [row for row in _below(table, "tr") if not _deleted(row)]
        cells = [list(_below(row, "tc")) for row in rows]
        if max(map(len, cells), default=0) < 2:
            # One column is a frame round text, not a table.
            for row in cells:
                for cell in row:
                    self.blocks(cell)
            return
        grid: list[list[str]] = []
        for row in cells:
            line: list[str] = []
            for cell in row:
                merged = child(cell, "tcPr", "vMerge")
                words = self._cell(cell)
                if merged is not None and attribute(merged, "val") != "restart" and grid:
                    words = words or (grid[-1][len(line)] if len(line) < len(grid[-1]) else "")
                span = attribute(child(cell, "tcPr", "gridSpan"), "val") or "1"
                width = min(int(span), 60) if span.isdecimal() else 1
                line += [words] + [""] * (width - 1)
            grid.append(line)
        self._builder.table(table_lines(grid), page=page)
        self._text_boxes()

    def _cell(self, cell: etree._Element) -> str:
        parts = []
        for element in shown_children(cell):
            if local(element) == "p":
                parts.append(self._words(element))
            elif local(element) == "tbl":
                inner = [[self._cell(c) for c in _below(r, "tc")] for r in _below(element, "tr")]
                parts.append("; ".join(table_lines(inner)))
            elif local(element) in ("sdt", "sdtContent", "customXml"):
                parts.append(self._cell(element))
        return " ".join(part for part in parts if part.strip())


def _below(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield rows or cells, also through content controls."""
    for element in shown_children(parent):
        if local(element) == name:
            yield element
        elif local(element) in ("sdt", "sdtContent", "customXml"):
            yield from _below(element, name)


def _deleted(row: etree._Element) -> bool:
    return child(row, "trPr", "del") is not None
