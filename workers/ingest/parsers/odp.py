"""OpenDocument presentations: one page a slide, like PowerPoint."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.failures import CorruptFile, TooLarge
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.ooxml import Package, attribute, child, local
from workers.ingest.parsers.tables import table_lines


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add every slide in order; raise CorruptFile where the XML is damaged."""
    body = child(Package(data, kind=kind).xml("content.xml"), "body", "presentation")
    if body is None:
        raise CorruptFile(kind)
    slides = [element for element in body if local(element) == "page"]
    if len(slides) > limits.max_pages:
        raise TooLarge("pages", limits.max_pages)
    builder.n_pages = len(slides)
    for page, slide in enumerate(slides, start=1):
        builder.leave_sections()
        frames = list(slide)
        for frame in frames:
            if attribute(frame, "class") == "title":
                builder.heading(" ".join(_lines(frame)), level=1, page=page)
        for frame in frames:
            _frame(frame, builder, page)


def _frame(frame: etree._Element, builder: TextBuilder, page: int) -> None:
    if attribute(frame, "class") == "title":
        return
    table = next((inner for inner in frame.iter() if local(inner) == "table"), None)
    if table is not None:
        rows = (row for row in table.iter() if local(row) == "table-row")
        grid = [[" ".join(_lines(c)) for c in row if local(c) == "table-cell"] for row in rows]
        builder.table(table_lines(grid), page=page)
        return
    words = "\n".join(_lines(frame))
    if words:
        builder.text(f"Notes: {words}" if local(frame) == "notes" else words, page=page)


def _lines(frame: etree._Element) -> Iterator[str]:
    for paragraph in frame.iter():
        if local(paragraph) in ("p", "h"):
            words = "".join(_pieces(paragraph)).strip()
            if words:
                yield words


def _pieces(paragraph: etree._Element) -> Iterator[str]:
    for piece in paragraph.iter():
        name = local(piece)
        if name in ("s", "tab", "line-break"):
            yield " "
        if name and name not in ("annotation", "page-number") and piece.text:
            yield piece.text
        if piece is not paragraph and piece.tail:
            yield piece.tail
