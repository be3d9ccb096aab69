"""A file is what its bytes say; its name only chooses among kinds of plain text."""

from __future__ import annotations

import json

import pytest

from tests.parsers import files
from workers.ingest.parsers import wire
from workers.ingest.parsers.failures import (
    FAILURES,
    CorruptFile,
    NoText,
    ParserCrashed,
    TooLarge,
    UnsupportedType,
)
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.sniff import sniff
from workers.ingest.types import Block, ParsedText

MAIL = b"From: a@example.org\nTo: b@example.org\nSubject: Hi\n\nHello"


@pytest.mark.parametrize(
    ("content", "suffix", "kind"),
    [
        (files.pdf([[(12, "x")]]), "docx", "pdf"),
        (b"\n\n junk before" + files.pdf([]), "txt", "pdf"),
        (files.docx(""), "zip", "docx"),
        (files.pptx([("a", "b")]), "", "pptx"),
        (files.xlsx({"a": [["b"]]}), "pdf", "xlsx"),
        (b"{\\rtf1 x}", "doc", "rtf"),
        (b"<!DOCTYPE html><p>x", "txt", "html"),
        (b"<!-- c -->\n<html><p>x</html>", "", "html"),
        (MAIL, "txt", "eml"),
        (b"From a@b.org Mon Jun 01 10:00:00 2009\n" + MAIL, "mbox", "eml"),
        (b"a,b\n1,2\n", "csv", "csv"),
        (b"a,b\n1,2\n", "txt", "text"),
        (b"# a\n", "md", "markdown"),
        (b"# a\nx\n## b\n", "", "markdown"),
        (b"# a\nx\n## b\n", "txt", "text"),
        (b"Subject: to change\n", "txt", "text"),
        (b"BM is also how a sentence may begin", "txt", "text"),
        ("Привет".encode("utf-16"), "", "text"),
    ],
)
def test_the_bytes_decide(content: bytes, suffix: str, kind: str) -> None:
    assert sniff(content, suffix=suffix, declared_mime="") == kind


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "image"),
        (b"PK\x03\x04 nothing", None),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "archive"),
        (b"\x7fELF" + bytes(50), "program"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"<svg xmlns='x'/>", "svg"),
        (
            b"From a@b.org Mon Jun 01 10:00:00 2009\nx\n\nFrom a@b.org Mon Jun 01 10:00:00 2009\ny",
            "mbox",
        ),
        (bytes(range(256)) * 10, "binary"),
    ],
)
def test_what_is_not_read_is_named(content: bytes, what: str | None) -> None:
    with pytest.raises((UnsupportedType, CorruptFile)) as caught:
        sniff(content, suffix="pdf", declared_mime="application/pdf")

    assert caught.value.what == (what or "zip")


def parsed(text: str = "Hello.\n\nWorld") -> ParsedText:
    blocks = (Block(0, 6, "", 1, "heading"), Block(8, 13, "Hello.", 2, "text"))
    return ParsedText(text=text, blocks=blocks, n_pages=2, mime="text/plain", parser="text")


def test_a_reply_crosses_the_pipe_unchanged() -> None:
    assert wire.decode(wire.encode(parsed()), limits=Limits()) == parsed()


@pytest.mark.parametrize(
    "failure",
    [NoText("pdf", 12), TooLarge("pages", 5), UnsupportedType("zip"), ParserCrashed("SIGSEGV")],
)
def test_a_failure_crosses_the_pipe_unchanged(failure: NoText) -> None:
    back = wire.decode(wire.encode(failure), limits=Limits())

    assert type(back) is type(failure)
    assert str(back) == str(failure)


def test_a_failure_cannot_carry_words_of_a_document() -> None:
    for code in FAILURES:
        for facts in ({"what": "Alice earns 90,000"}, {"how": "Alice earns 90,000"}, {}):
            reply = wire._frame({"code": code, "facts": facts}, "")
            try:
                back = wire.decode(reply, limits=Limits())
            except wire.Malformed:
                continue
            assert "Alice" not in str(back)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [[0, 6, 0, 1, 0], [5, 13, 0, 2, 1]]},
        {"blocks": [[0, 99, 0, 1, 0]]},
        {"blocks": [[3, 3, 0, 1, 0]]},
        {"blocks": [[0, 6, 7, 1, 0]]},
        {"blocks": [[0, 6, 0, 0, 0]]},
        {"blocks": [[0, 6, 0, 1, 9]]},
        {"blocks": [[0, True, 0, 1, 0]]},
        {"blocks": [[0.0, 6, 0, 1, 0]]},
        {"blocks": []},
        {"blocks": "no"},
        {"sections": ["\ud800"]},
        {"sections": ["x" * 9999]},
        {"n_pages": 10**12},
        {"n_pages": "2"},
        {"mime": 5},
        {"parser": None},
    ],
)
def test_a_reply_out_of_order_is_dropped(change: dict[str, object]) -> None:
    reply = wire.encode(parsed())
    n_meta = int.from_bytes(reply[len(wire.MAGIC) : len(wire.MAGIC) + 4], "big")
    at = len(wire.MAGIC) + 8
    meta = json.loads(reply[at : at + n_meta]) | change

    with pytest.raises(wire.Malformed):
        wire.decode(_reframe(meta, reply[at + n_meta :]), limits=Limits())


def _reframe(meta: dict[str, object], text: bytes) -> bytes:
    head = json.dumps(meta).encode()
    return wire.MAGIC + len(head).to_bytes(4, "big") + len(text).to_bytes(4, "big") + head + text


@pytest.mark.parametrize("reply", [b"", b"x" * 100, wire.MAGIC, wire.MAGIC + b"\xff" * 8 + b"{}"])
def test_noise_is_dropped(reply: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.decode(reply, limits=Limits())


def test_a_reply_with_a_nul_or_bad_utf8_is_dropped() -> None:
    for text in (b"Hello.\n\nWor\x00d", b"Hello.\n\nWor\xffd"):
        reply = wire.encode(parsed())
        with pytest.raises(wire.Malformed):
            wire.decode(reply[: -len(text)] + text, limits=Limits())
