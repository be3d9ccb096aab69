"""HTML: what a reader would see, in order, with headings, tables and code told apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from lxml import etree

from workers.ingest.parsers.build import TextBuilder, one_line
from workers.ingest.parsers.decode import decode
from workers.ingest.parsers.failures import TooLarge
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.tables import table_lines
from workers.ingest.parsers.unseen import has_colour_of_ground

_Skipped = Callable[[Any, str], bool]
# Set by libxml2.
_MAX_DEPTH = 2048
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.I)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DROPPED = frozenset(
    [
        "script",
        "style",
        "template",
        "noscript",
        "head",
        "nav",
        "svg",
        "math",
        "object",
        "embed",
        "iframe",
        "applet",
        "canvas",
        "audio",
        "video",
        "select",
        "datalist",
        "button",
        "input",
        "textarea",
        "dialog",
        "map",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "ol",
        "p",
        "section",
        "summary",
        "table",
        "ul",
        "tr",
        "td",
        "th",
        "caption",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Styles that hide; an author's own class names would need the cascade, which is not computed.
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|opacity\s*:\s*0(\.0+)?\s*(;|!|$)"
    r"|font-size\s*:\s*(0(\.\d+)?|1)(px|pt)\s*(;|!|$)|font-size\s*:\s*0(\.0+)?(em|rem|%)?\s*(;|!|$)"
    r"|(text-indent|left|top|margin-left)\s*:\s*-\d{3,}|clip\s*:\s*rect\(\s*0"
    r"|(^|;)\s*(max-)?(height|width)\s*:\s*0(px)?\s*(;|!|$)",
    re.I,
)
_HIDING_RULE = re.compile(r"([^{}]{1,500})\{([^{}]{0,2000})\}")
_CLASS_OR_ID = re.compile(r"[.#][A-Za-z_][\w-]*\Z")


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add the page's visible text; scripts, navigation and hidden elements are left out."""
    del limits
    charset = _CHARSET.search(data[:8192])
    text = decode(data, declared=charset[1].decode("ascii") if charset else None, what=kind)
    read_text(text, builder=builder)


def read_text(text: str, *, builder: TextBuilder, page: int | None = None) -> None:
    """Add the visible text of markup that is already decoded."""
    text = _XML_DECLARATION.sub("", text).replace("\x00", "")
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", errors="replace"), parser)
    except etree.XMLSyntaxError:
        root = None
    if any(entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log):
        # The parser stops there; text after it would be lost without a word.
        raise TooLarge("depth", _MAX_DEPTH)
    if root is not None:
        _Walker(builder, page).walk(root)


class _Walker:
    """Walk the tree without recursion: nesting is the author's to choose, the stack is not."""

    def __init__(self, builder: TextBuilder, page: int | None) -> None:
        self._builder, self._page = builder, page
        self._words: list[str] = []
        self._hidden: frozenset[str] = frozenset()
        self._styled = False

    def walk(self, root: etree._Element) -> None:
        self._hidden = frozenset(_hidden_selectors(root))
        self._styled = any(True for _ in root.iter("style", "link"))
        title = root.findtext(".//title")
        first = root.find(".//h1")
        if title and title.strip() and first is None:
            self._builder.heading(title, level=1, page=self._page)
        self._walk(root)
        self._flush()

    def _walk(self, root: etree._Element) -> None:
        stack: list[tuple[etree._Element, bool]] = [(root, False)]
        while stack:
            element, leaving = stack.pop()
            tag = element.tag if isinstance(element.tag, str) else ""
            if leaving:
                if tag in _BLOCKS:
                    self._break()
            elif self._skipped(element, tag):
                pass
            elif tag in _HEADINGS:
                self._flush()
                words = one_line(_flat(element, self._skipped))
                self._builder.heading(words, level=_HEADINGS[tag], page=self._page)
            elif tag == "table" and _is_data(element):
                self._flush()
                self._table(element)
            elif tag == "pre":
                self._flush()
                self._builder.code(_flat(element, self._skipped), page=self._page)
            else:
                self._enter(element, tag, stack)
                continue
            if element is not root and element.tail:
                self._words.append(_folded(element.tail))

    def _enter(
        self, element: etree._Element, tag: str, stack: list[tuple[etree._Element, bool]]
    ) -> None:
        if tag in _BLOCKS:
            self._break()
        elif tag == "br":
            self._words.append("\n")
        elif tag == "img" and element.get("alt"):
            self._words.append(f" {one_line(element.get('alt', ''))} ")
        if tag == "li":
            self._words.append("- ")
        elif tag in ("td", "th"):
            self._words.append(" ")
        if element.text:
            self._words.append(_folded(element.text))
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))

    def _skipped(self, element: etree._Element, tag: str) -> bool:
        if not tag or tag in _DROPPED or element.get("hidden") is not None:
            return True
        if (element.get("aria-hidden") or "").lower() == "true":
            return True
        style = element.get("style")
        if style and _HIDING.search(style):
            return True
        if (style or tag == "font") and has_colour_of_ground(element, styled=self._styled):
            return True
        if self._hidden:
            names = {f".{name}" for name in (element.get("class") or "").split()}
            names.add(f"#{element.get('id')}")
            return bool(names & self._hidden)
        return False

    def _table(self, table: etree._Element) -> None:
        rows = list(_rows(table, self._skipped))
        if rows:
            first = rows[0]
            headed = all(is_header for _, is_header in first) or None
            lines = table_lines([[cell for cell, _ in row] for row in rows], header=headed)
            self._builder.table(lines, page=self._page)

    def _break(self) -> None:
        if self._words and self._words[-1] != "\n":
            self._words.append("\n")
        if sum(map(len, self._words[-50:])) > 2000:
            self._flush()

    def _flush(self) -> None:
        lines = (one_line(line) for line in "".join(self._words).split("\n"))
        self._words = []
        self._builder.text("\n".join(line for line in lines if line), page=self._page)


def _folded(text: str) -> str:
    """Fold white space as a browser does: runs become one space, also at the edges."""
    return re.sub(r"[ \t\r\n\f]+", " ", text)


def _flat(element: etree._Element, skipped: _Skipped) -> str:
    out: list[str] = []
    stack: list[tuple[etree._Element, bool]] = [(element, False)]
    while stack:
        node, leaving = stack.pop()
        tag = node.tag if isinstance(node.tag, str) else ""
        if not leaving and not skipped(node, tag):
            if tag == "br":
                out.append("\n")
            elif tag in _BLOCKS:
                out.append(" ")
            if node.text:
                out.append(node.text)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node))
        elif node is not element and node.tail:
            out.append(node.tail)
    return "".join(out)


def _is_data(table: etree._Element) -> bool:
    """Tell a table of data from one that lays out a page: no tables, headings or lists of blocks inside."""
    if any(True for _ in table.iterdescendants("table", "h1", "h2", "h3", "form")):
        return False
    rows = list(table.iter("tr"))
    widest = max((len(row.findall("td")) + len(row.findall("th")) for row in rows), default=0)
    return widest > 1 and len(rows) > 1


def _rows(table: etree._Element, skipped: _Skipped) -> Iterator[list[tuple[str, bool]]]:
    caption = table.find("caption")
    if caption is not None:
        yield [(_flat(caption, skipped), False)]
        yield []
    # Cells that reach down from rows above: column -> (rows still to come, words).
    reaching: dict[int, tuple[int, str]] = {}
    for row in table.iter("tr"):
        if skipped(row, "tr"):
            continue
        cells: list[tuple[str, bool]] = []
        for cell in row:
            if cell.tag not in ("td", "th") or skipped(cell, str(cell.tag)):
                continue
            _reach_down(reaching, cells)
            words = _flat(cell, skipped)
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            for offset in range(width):
                if height > 1:
                    reaching[len(cells)] = (height - 1, "" if offset else words)
                cells.append(("" if offset else words, cell.tag == "th"))
        _reach_down(reaching, cells)
        if cells:
            yield cells


def _span(cell: etree._Element, name: str) -> int:
    value = cell.get(name) or "1"
    return max(1, min(int(value), 100)) if value.isdecimal() and len(value) < 5 else 1


def _reach_down(reaching: dict[int, tuple[int, str]], cells: list[tuple[str, bool]]) -> None:
    """Fill the columns that a cell above covers, with its words, so that a row reads by itself."""
    while len(cells) in reaching:
        column = len(cells)
        left, words = reaching.pop(column)
        if left > 1:
            reaching[column] = (left - 1, words)
        cells.append((words, False))


def _hidden_selectors(root: etree._Element) -> Iterator[str]:
    """Find the plain class and id selectors that a style sheet in the page hides."""
    for sheet in root.iter("style"):
        for selectors, rules in _HIDING_RULE.findall((sheet.text or "")[:200_000]):
            if _HIDING.search(rules):
                names = (name.strip() for name in selectors.split(","))
                yield from (name for name in names if _CLASS_OR_ID.match(name))
