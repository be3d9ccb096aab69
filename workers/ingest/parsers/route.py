"""Choose the one parser a document needs and load only that."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from workers.ingest.parsers.archives import check_archive
from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.sniff import sniff
from workers.ingest.types import ParsedText

_OOXML = "application/vnd.openxmlformats-officedocument."
# kind: (module, MIME type, name of the parser as stored with the version)
_PARSERS = {
    "pdf": ("pdf", "application/pdf", "pdfium"),
    "docx": ("docx", _OOXML + "wordprocessingml.document", "docx"),
    "pptx": ("pptx", _OOXML + "presentationml.presentation", "pptx"),
    "xlsx": ("office", _OOXML + "spreadsheetml.sheet", "kreuzberg"),
    "xlsb": ("office", "application/vnd.ms-excel.sheet.binary.macroenabled.12", "kreuzberg"),
    "xls": ("office", "application/vnd.ms-excel", "kreuzberg"),
    "doc": ("office", "application/msword", "kreuzberg"),
    "ppt": ("office", "application/vnd.ms-powerpoint", "kreuzberg"),
    "odt": ("office", "application/vnd.oasis.opendocument.text", "kreuzberg"),
    "ods": ("office", "application/vnd.oasis.opendocument.spreadsheet", "kreuzberg"),
    "odp": ("odp", "application/vnd.oasis.opendocument.presentation", "odp"),
    "rtf": ("office", "application/rtf", "kreuzberg"),
    "epub": ("office", "application/epub+zip", "kreuzberg"),
    "msg": ("office", "application/vnd.ms-outlook", "kreuzberg"),
    "html": ("html", "text/html", "lxml"),
    "markdown": ("markdown", "text/markdown", "markdown"),
    "csv": ("delimited", "text/csv", "csv"),
    "eml": ("mail", "message/rfc822", "email"),
    "text": ("plain", "text/plain", "text"),
}
_ARCHIVES = frozenset(("docx", "pptx", "xlsx", "xlsb", "odt", "ods", "odp", "epub"))


def read_document(data: bytes, *, suffix: str, declared_mime: str, limits: Limits) -> ParsedText:
    """Read bytes of any kind in this process; raise a ParseFailure. Only for the parser process."""
    kind = sniff(data, suffix=suffix, declared_mime=declared_mime)
    if kind in _ARCHIVES:
        check_archive(data, kind=kind, limits=limits)
    module, mime, parser = _PARSERS[kind]
    builder = TextBuilder(limits=limits, mime=mime, parser=parser, what=kind)
    read: Callable[..., None] = importlib.import_module(f"workers.ingest.parsers.{module}").read
    read(data, builder=builder, kind=kind, limits=limits)
    return builder.result()
