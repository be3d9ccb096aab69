"""Judge a ZIP archive by its directory and its real unpacked size before any parser opens it."""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from workers.ingest.parsers.failures import (
    CorruptFile,
    EncryptedFile,
    TooLarge,
    UnsupportedType,
)
from workers.ingest.parsers.limits import MIB, Limits

_PIECE = 1 << 16
_KINDS_BY_MIMETYPE = {
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.text-template": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/epub+zip": "epub",
}
_KINDS_BY_PART = (
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "pptx"),
    ("xl/workbook.xml", "xlsx"),
    ("xl/workbook.bin", "xlsb"),
)
_XML = (".xml", ".rels", ".vml", ".opf", ".ncx", ".xhtml", ".html", ".htm")
_DOCTYPE = re.compile(
    rb"<!(DOCTYPE|ENTITY)|<\x00!\x00(D\x00O\x00C\x00T\x00Y|E\x00N\x00T\x00I\x00T)", re.I
)
_ENTITY = re.compile(rb"<!ENTITY|<\x00!\x00E\x00N\x00T\x00I\x00T", re.I)


def kind_of_archive(data: bytes) -> str:
    """Say what a ZIP archive is by what is in it; raise for archives that are no document."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {info.filename.lower().lstrip("/") for info in archive.infolist()}
            mimetype = _mimetype(archive)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        raise CorruptFile("zip") from None
    if mimetype in _KINDS_BY_MIMETYPE:
        return _KINDS_BY_MIMETYPE[mimetype]
    if mimetype.startswith("application/vnd.oasis.opendocument.graphics"):
        raise UnsupportedType("odg")
    for part, kind in _KINDS_BY_PART:
        if part in names:
            return kind
    if "content.xml" in names and "meta-inf/manifest.xml" in names:
        return "odt"
    if any(name.endswith((".iwa", "index.apxl")) or name == "index.xml" for name in names):
        raise UnsupportedType("iwork")
    if any(name.endswith((".fdseq", ".fdoc")) for name in names):
        raise UnsupportedType("xps")
    if any(name.startswith("visio/") for name in names):
        raise UnsupportedType("visio")
    raise UnsupportedType("office" if "[content_types].xml" in names else "zip")


def check_archive(data: bytes, *, kind: str, limits: Limits) -> None:
    """Unpack every part once, counting; raise TooLarge on a bomb, CorruptFile on damage or DTDs."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > limits.max_parts:
                raise TooLarge("parts", limits.max_parts)
            if any(info.flag_bits & 0x1 for info in infos) or _odf_encrypted(archive):
                raise EncryptedFile(kind)
            if sum(info.file_size for info in infos) > limits.max_unpacked_bytes:
                raise TooLarge("unpacked", limits.max_unpacked_bytes)
            # Parts that overlap in the file are the densest bombs.
            if sum(info.compress_size for info in infos) > len(data):
                raise TooLarge("unpacked", limits.max_unpacked_bytes)
            total = 0
            for info in infos:
                total += _check_part(archive, info, kind, limits)
                if total > limits.max_unpacked_bytes:
                    raise TooLarge("unpacked", limits.max_unpacked_bytes)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError):
        raise CorruptFile(kind) from None
    except RuntimeError:
        raise EncryptedFile(kind) from None


def _check_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kind: str, limits: Limits) -> int:
    markup = info.filename.lower().endswith(_XML)
    dense = info.file_size > MIB and info.file_size > limits.max_ratio * info.compress_size
    # A blank picture packs 700 to 1 and is never unpacked again; markup becomes a tree.
    if markup and dense:
        raise TooLarge("unpacked", limits.max_unpacked_bytes)
    forbidden = _ENTITY if kind in ("epub", "odt", "ods", "odp") else _DOCTYPE
    size, tail = 0, b""
    with archive.open(info) as part:
        while piece := part.read(_PIECE):
            size += len(piece)
            if markup and forbidden.search(tail + piece):
                raise CorruptFile(kind)
            tail = piece[-32:]
    return size


def _odf_encrypted(archive: zipfile.ZipFile) -> bool:
    name = "META-INF/manifest.xml"
    if name not in archive.namelist() or archive.getinfo(name).file_size > MIB:
        return False
    return b"encryption-data" in archive.read(name)


def _mimetype(archive: zipfile.ZipFile) -> str:
    for info in archive.infolist()[:20]:
        if info.filename == "mimetype" and info.file_size < 200 and not info.flag_bits & 0x1:
            return archive.read(info).decode("ascii", errors="replace").strip()
    return ""
