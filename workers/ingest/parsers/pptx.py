"""PowerPoint: one page a slide, its title as the heading, then its text, tables, diagrams and notes."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.failures import CorruptFile, TooLarge
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.ooxml import Package, attribute, child, local, shown_children
from workers.ingest.parsers.tables import table_lines

_MAIN = "ppt/presentation.xml"
_TITLES = frozenset(("title", "ctrTitle"))
_FURNITURE = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add every slide in the order of the show; raise CorruptFile where the XML is damaged."""
    package = Package(data, kind=kind)
    slides = list(_slides(package))
    if len(slides) > limits.max_pages:
        raise TooLarge("pages", limits.max_pages)
    builder.n_pages = len(slides)
    try:
        for number, name in enumerate(slides, start=1):
            builder.leave_sections()
            _slide(package, name, builder, number)
    except RecursionError:
        raise CorruptFile(kind) from None


def _slides(package: Package) -> Iterator[str]:
    relations = package.relations(_MAIN)
    for entry in child(package.xml(_MAIN), "sldIdLst") or ():
        # Two attributes are called id; the relation's is the one in a namespace.
        ident = next((str(v) for k, v in entry.attrib.items() if str(k).startswith("{")), "")
        kind, target = relations.get(ident, ("", ""))
        if kind == "slide" and package.has(target):
            yield target


def _slide(package: Package, name: str, builder: TextBuilder, page: int) -> None:
    tree = child(package.xml(name), "cSld", "spTree")
    if tree is None:
        return
    shapes = list(_shapes(tree))
    for shape in shapes:
        if _placeholder(shape) in _TITLES:
            builder.heading(_words(shape), level=1, page=page)
    relations = package.relations(name)
    for shape in shapes:
        _shape(shape, builder, page)
    for kind, target in relations.values():
        if kind == "diagramData" and package.has(target):
            builder.text("\n".join(_paragraphs(package.xml(target))), page=page)
    for kind, target in relations.values():
        if kind == "notesSlide" and package.has(target):
            _notes(package, target, builder, page)


def _shapes(tree: etree._Element) -> Iterator[etree._Element]:
    for shape in shown_children(tree):
        name = local(shape)
        if name == "grpSp":
            yield from _shapes(shape)
        elif name in ("sp", "graphicFrame", "cxnSp") and not _hidden(shape):
            yield shape


def _shape(shape: etree._Element, builder: TextBuilder, page: int) -> None:
    if local(shape) == "graphicFrame":
        for table in (e for e in shape.iter() if local(e) == "tbl"):
            rows = [
                [_words(cell) for cell in row if local(cell) == "tc"]
                for row in table
                if local(row) == "tr"
            ]
            builder.table(table_lines(rows), page=page)
        return
    if _placeholder(shape) not in _TITLES | _FURNITURE:
        builder.text(_words(shape), page=page)


def _notes(package: Package, name: str, builder: TextBuilder, page: int) -> None:
    tree = child(package.xml(name), "cSld", "spTree")
    if tree is None:
        return
    words = [_words(shape) for shape in _shapes(tree) if _placeholder(shape) not in _FURNITURE]
    text = "\n".join(part for part in words if part.strip())
    if text:
        builder.text(f"Notes: {text}", page=page)


def _placeholder(shape: etree._Element) -> str:
    for properties in shape:
        if local(properties) == "nvSpPr":
            mark = child(properties, "nvPr", "ph")
            return "" if mark is None else attribute(mark, "type") or "body"
    return ""


def _hidden(shape: etree._Element) -> bool:
    for properties in shape:
        if local(properties).startswith("nv"):
            return attribute(child(properties, "cNvPr"), "hidden") in ("1", "true")
    return False


def _words(shape: etree._Element) -> str:
    return "\n".join(_paragraphs(shape))


def _paragraphs(element: etree._Element) -> Iterator[str]:
    for paragraph in element.iter():
        if local(paragraph) != "p" or _is_fallback(paragraph):
            continue
        out = []
        for piece in paragraph.iter():
            if local(piece) == "t":
                out.append(piece.text or "")
            elif local(piece) in ("br", "tab"):
                out.append(" ")
        line = "".join(out).strip()
        if line:
            yield line


def _is_fallback(paragraph: etree._Element) -> bool:
    """Say whether a paragraph is the old-program version of one that is also there."""
    return any(local(above) == "Fallback" for above in paragraph.iterancestors())
