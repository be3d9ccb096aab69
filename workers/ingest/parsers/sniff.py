"""Say what a file is from its bytes; its name only chooses among kinds of plain text."""

from __future__ import annotations

import re

from workers.ingest.parsers import archives, ole
from workers.ingest.parsers.decode import decode, looks_like_text
from workers.ingest.parsers.failures import EmptyFile, UnsupportedType

_HEAD = 8192
# Kinds that are recognised so that the refusal can name them.
_UNREADABLE = (
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"BM", "image"),
    (b"8BPS", "image"),
    (b"\x00\x00\x01\x00", "image"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9d", "gzip"),
    (b"BZh", "gzip"),
    (b"\xfd7zXZ", "gzip"),
    (b"\x28\xb5\x2f\xfd", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"Rar!", "archive"),
    (b"MSCF", "archive"),
    (b"ITSF", "archive"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"CWS", "program"),
    (b"FWS", "program"),
    (b"SQLite format 3\x00", "database"),
    (b"\x00\x01\x00\x00Standard", "database"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "onenote"),
    (b"\xffWPC", "wordperfect"),
    (b"\x00\x00\x02\x00", "lotus"),
    (b"\x00\x00\x1a\x00", "lotus"),
    (b"-----BEGIN PGP", "pgp"),
    (b"-----BEGIN PKCS7", "signature"),
    (b"%!PS", "image"),
    (b"ID3", "audio"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"RIFF", "audio"),
)
_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*"
    r"<(!doctype\s+html|html|head|body|title|meta|script|style|table|div|h[1-6]|p|ul|ol|link|span|a|br)"
    r"[\s/>]",
    re.I | re.S,
)
_XHTML = re.compile(r"<html[\s>]", re.I)
_ENVELOPE = re.compile(r"From [^\s:]+ [^\n]*\d{4}\s*\n")
_NEXT_ENVELOPE = re.compile(rb"\r?\n\r?\nFrom [^\s:]+ [^\n]*\d{4}\s*\n")
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:")
_MAIL_HEADERS = frozenset(
    [
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "received",
        "message-id",
        "mime-version",
        "return-path",
        "reply-to",
        "sender",
        "delivered-to",
        "content-type",
        "content-transfer-encoding",
        "x-mailer",
        "dkim-signature",
    ]
)
_STRONG_MAIL_HEADERS = frozenset(
    ["from", "subject", "date", "received", "message-id", "return-path", "to"]
)
_BY_SUFFIX = {
    "md": "markdown",
    "markdown": "markdown",
    "csv": "csv",
    "tsv": "csv",
    "tab": "csv",
    "htm": "html",
    "html": "html",
    "xhtml": "html",
    "eml": "eml",
}
_BY_MIME = {
    "text/markdown": "markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "text/html": "html",
    "message/rfc822": "eml",
}


def sniff(data: bytes, *, suffix: str, declared_mime: str) -> str:
    """Name the kind of file; raise a ParseFailure that says what it is where none here reads it."""
    head = data[:_HEAD]
    if not head.strip(b"\x00\t\n\r \xef\xbb\xbf\xff\xfe") and not data.strip(
        b"\x00\t\n\r \xef\xbb\xbf\xff\xfe"
    ):
        raise EmptyFile("file")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK00PK")):
        return archives.kind_of_archive(data)
    if head.startswith(ole.MAGIC):
        return ole.kind_of_ole(data)
    if head.lstrip().startswith(b"{\\rtf"):
        return "rtf"
    for magic, what in _UNREADABLE:
        if head.startswith(magic) and not (magic.isalnum() and looks_like_text(data)):
            raise UnsupportedType(what)
    if head[257:262] == b"ustar":
        raise UnsupportedType("archive")
    if head[4:8] == b"ftyp":
        raise UnsupportedType("audio")
    if head[:1] == b"\x30" and head[1:2] in b"\x80\x82\x83":
        raise UnsupportedType("signature")
    if not looks_like_text(data):
        raise UnsupportedType("binary")
    return _kind_of_text(data, suffix=suffix, declared_mime=declared_mime)


def _kind_of_text(data: bytes, *, suffix: str, declared_mime: str) -> str:
    text = decode(data[:_HEAD]).lstrip("\ufeff")
    hint = _BY_SUFFIX.get(suffix) or _BY_MIME.get(declared_mime.split(";")[0].strip().lower())
    if _ENVELOPE.match(text):
        if _NEXT_ENVELOPE.search(data):
            raise UnsupportedType("mbox")
        return "eml"
    if _looks_like_mail(text, strict=hint != "eml"):
        return "eml"
    start = text.lstrip()
    if start.startswith("<?xml") or re.match(r"<svg[\s>]", start, re.I):
        if _XHTML.search(text):
            return "html"
        raise UnsupportedType("svg" if re.search(r"<svg[\s>]", text) else "xml")
    if hint in ("markdown", "csv"):
        return hint
    if _HTML.match(text) or hint == "html":
        return "html"
    if suffix == "xml":
        raise UnsupportedType("xml")
    if not suffix and len(re.findall(r"^#{1,6} \S", text, re.M)) >= 2:
        return "markdown"
    return "text"


def _looks_like_mail(text: str, *, strict: bool) -> bool:
    """Tell whether it opens with mail headers: two known ones, one of them unmistakable."""
    names: list[str] = []
    for line in text.lstrip("\r\n").splitlines()[:200]:
        if not line.strip():
            break
        if line[0] in " \t" and names:
            continue
        match = _HEADER.match(line)
        if match is None:
            break
        names.append(match[1].lower())
    known = _MAIL_HEADERS.intersection(names)
    strong = _STRONG_MAIL_HEADERS.intersection(names)
    if {"mime-version", "content-type"} <= known and "multipart/" in text:
        return True
    return len(known) >= (3 if strict else 1) and bool(strong)
