"""Spreadsheets, OpenDocument, RTF, EPUB and legacy Office, through Kreuzberg's nodes."""

from __future__ import annotations

import re
from typing import Any

from workers.ingest.parsers.build import TextBuilder, clean
from workers.ingest.parsers.failures import CorruptFile, EncryptedFile, TooLarge
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.tables import table_lines

_SHEETS = frozenset(("xlsx", "xlsb", "xls", "ods"))
# Its heading detection on these is a guess from line lengths.
_NO_HEADINGS = frozenset(("doc", "rtf", "ppt", "msg"))
_FIELD_CODE = re.compile(
    r"[ \t]*\b(?:(?:EMBED|MERGEFIELD|PAGEREF|REF)[ \t]+[\w.]+|(?:HYPERLINK|INCLUDEPICTURE|TOC)\b)"
    r'(?:[ \t]*(?:\\\*[ \t]*MERGEFORMAT|\\[a-z]|"[^"\n]*"|“[^”\n]*”|"[^”\n]*”))*[ \t]*'
)
_MASTER = frozenset(
    (
        "click to edit master title style",
        "click to edit master text styles",
        "second level",
        "third level",
        "fourth level",
        "fifth level",
    )
)
_LONG_NUMBER = re.compile(r"-?\d+\.\d{9,}\Z")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)|\[Image: ?[^\]]*\]")
_LINK = re.compile(r"\[([^\]\n]*)\]\((?:https?:|mailto:|#)[^)\s]*\)")
_EMPHASIS = re.compile(r"(\*{1,3}|~~)(?=\S)([^*~\n]+?)(?<=\S)\1|</?(?:u|sub|sup|b|i)>")


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add what Kreuzberg finds; raise a ParseFailure in place of its own errors."""
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        # Its cache would keep every document's text in clear on disk.
        use_cache=False,
        enable_quality_processing=False,
        include_document_structure=True,
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        extraction_timeout_secs=int(limits.wall_seconds),
    )
    try:
        result = kreuzberg.extract_bytes_sync(data, builder.mime, config)
    except kreuzberg.KreuzbergError as error:
        _refuse(error, kind, limits)
    document: Any = result.document
    nodes: list[dict[str, Any]] = list(document["nodes"]) if document else []
    if kind == "msg":
        _envelope(result.metadata, builder)
    if kind in _SHEETS:
        _sheets(nodes, builder)
    else:
        _flow(nodes, builder, kind)
    if not nodes:
        builder.text(_plain(result.content, kind))


def _refuse(error: Exception, kind: str, limits: Limits) -> None:
    words = str(error).lower()
    if "password" in words or "encrypt" in words or "protected" in words:
        raise EncryptedFile(kind) from None
    if "limit" in words or "too large" in words or "ratio" in words or "bomb" in words:
        raise TooLarge("unpacked", limits.max_unpacked_bytes) from None
    raise CorruptFile(kind) from None


def _sheets(nodes: list[dict[str, Any]], builder: TextBuilder) -> None:
    sheet = 0
    for node in nodes:
        content = node["content"]
        name = content["node_type"]
        if name == "heading":
            sheet += 1
            builder.leave_sections()
            builder.heading(content["text"], level=1, page=sheet)
        elif name == "table":
            builder.table(table_lines(_grid(content["grid"])), page=max(sheet, 1))
        elif name in ("paragraph", "code"):
            builder.text(content["text"], page=max(sheet, 1))
    builder.n_pages = max(sheet, 1)


def _flow(nodes: list[dict[str, Any]], builder: TextBuilder, kind: str) -> None:
    page: int | None = None
    items: list[str] = []
    for node in nodes:
        content = node["content"]
        name, words = content["node_type"], _plain(content.get("text") or "", kind)
        if node.get("content_layer") in ("header", "footer"):
            continue
        if kind == "ppt" and words.strip().lower() in _MASTER:
            continue
        if name == "list_item":
            items += [f"- {words}"] if words.strip() else []
            continue
        if items and name != "list":
            builder.text("\n".join(items), page=page)
            items = []
        if name == "slide":
            page = content.get("number") or (page or 0) + 1
            builder.n_pages = page
            builder.leave_sections()
            builder.heading(content.get("title") or "", level=1, page=page)
        elif name == "heading" and kind not in _NO_HEADINGS:
            builder.heading(words, level=int(content.get("level") or 1), page=page)
        elif name == "title":
            builder.heading(words, level=1, page=page)
        elif name == "table":
            builder.table(table_lines(_grid(content["grid"])), page=page)
        elif name == "code":
            builder.code(words, page=page)
        elif words:
            builder.text(words, page=page)
    if items:
        builder.text("\n".join(items), page=page)


def _grid(grid: dict[str, Any]) -> list[list[str]]:
    n_columns = int(grid.get("cols") or 0)
    rows = [[""] * n_columns for _ in range(int(grid.get("rows") or 0))]
    for cell in grid["cells"]:
        rows[cell["row"]][cell["col"]] = _cell(str(cell.get("content") or ""))
    return rows


def _cell(words: str) -> str:
    """Show a number or date as a person wrote it, not as it is stored."""
    if _LONG_NUMBER.match(words):
        return f"{float(words):.12g}"
    return clean(words.removesuffix(" 00:00:00"))


def _envelope(metadata: Any, builder: TextBuilder) -> None:
    found = dict(metadata)
    builder.heading(str(found.get("subject") or ""), level=1)
    to = found.get("to_emails")
    rows = (
        ("From", found.get("from_name") or found.get("from_email")),
        ("To", ", ".join(map(str, to)) if isinstance(to, list) else to),
        ("Date", found.get("created_at")),
    )
    builder.text("\n".join(f"{name}: {value}" for name, value in rows if value))


def _plain(words: str, kind: str) -> str:
    """Take out markup that Kreuzberg adds and field codes that it leaves."""
    words = _IMAGE.sub(r"\1", words)
    if kind in ("doc", "rtf"):
        return _FIELD_CODE.sub(" ", words)
    return _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", words))
