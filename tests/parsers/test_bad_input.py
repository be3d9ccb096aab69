"""Input no parser can use ends in a named failure, in words for a person and without content."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.parsers import files
from workers.ingest import parse as step
from workers.ingest.parse import Limits, ParseFailure, parse
from workers.ingest.parsers.failures import FAILURES

MIB = 1 << 20
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def failure(content: bytes, name: str, limits: Limits | None = None) -> ParseFailure:
    with pytest.raises(ParseFailure) as caught:
        parse(
            path_or_bytes=content,
            file_name=name,
            declared_mime=None,
            limits=limits or Limits(wall_seconds=60),
            on_wait=lambda: None,
        )
    return caught.value


def bomb() -> bytes:
    body = "<w:p><w:r><w:t>" + "a" * (300 * MIB) + "</w:t></w:r></w:p>"
    return files.docx(body)


def lying_archive() -> bytes:
    """Claim in the directory that a part is small."""
    data = bytearray(files.docx(files.paragraph("x" * 5 * MIB)))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        size = archive.getinfo("word/document.xml").file_size.to_bytes(4, "little")
    return bytes(data).replace(size, (1000).to_bytes(4, "little"))


CASES = {
    "empty file": (b"", "a.pdf", step.EmptyFile),
    "only white space": (b"\xef\xbb\xbf \n\t", "a.txt", step.EmptyFile),
    "pdf without pages": (files.pdf([]), "a.pdf", step.EmptyFile),
    "encrypted pdf": (files.encrypted_pdf(), "a.pdf", step.EncryptedFile),
    "pdf without text": (files.pdf([[], []]), "a.pdf", step.NoText),
    "half a pdf": (files.pdf([[(12, "x")]])[:60], "a.pdf", step.CorruptFile),
    "half a docx": (files.docx(files.paragraph("x" * 5000))[:700], "a.docx", step.CorruptFile),
    "docx with broken xml": (files.docx("<w:p><w:r>"), "a.docx", step.CorruptFile),
    "entity bomb": (files.docx("<w:p/>", prolog=ENTITIES), "a.docx", step.CorruptFile),
    "lying archive": (lying_archive(), "a.docx", step.CorruptFile),
    "docx without words": (files.docx("<w:p/>"), "a.docx", step.NoText),
    "page nested too deep": (b"<html>" + b"<div>" * 50_000 + b"deep", "a.html", step.TooLarge),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a.pdf", step.UnsupportedType),
    "picture named docx": (b"\xff\xd8\xff\xe0" + bytes(100), "a.docx", step.UnsupportedType),
    "plain zip": (files.archive({"a.txt": "x"}), "a.zip", step.UnsupportedType),
    "nested zip": (
        files.archive({"a.zip": files.archive({"b": "x"})}),
        "a.docx",
        step.UnsupportedType,
    ),
    "random bytes": (bytes(range(256)) * 40, "a.txt", step.UnsupportedType),
    "cut ole": (OLE + bytes(200), "a.doc", step.CorruptFile),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_in_its_named_failure(case: str) -> None:
    content, name, expected = CASES[case]

    found = failure(content, name)

    assert type(found) is expected
    assert found.code in FAILURES
    assert found.reason.endswith(".")


def test_a_scan_is_told_apart_from_an_empty_file() -> None:
    found = failure(files.pdf([[]] * 12), "scan.pdf")

    assert found.reason == "It has 12 pages but no text; it looks scanned, and OCR is not enabled."


def test_a_refusal_says_what_the_file_is_and_what_is_supported() -> None:
    reason = failure(b"\x89PNG\r\n\x1a\n" + bytes(100), "salary-of-alice.pdf").reason

    assert reason.startswith("This is an image, which cannot be read. Supported are PDF, Word")
    assert "salary" not in reason


def test_a_zip_bomb_is_refused_before_a_parser_unpacks_it() -> None:
    content = bomb()

    found = failure(content, "a.docx", Limits(wall_seconds=60, memory_bytes=1024 * MIB))

    assert len(content) < MIB
    assert (found.code, found.facts["what"]) == ("too_large", "unpacked")


@pytest.mark.parametrize(
    ("content", "name", "limits"),
    [
        (files.pdf([[(12, "x")]] * 3), "a.pdf", Limits(max_pages=2)),
        (files.pptx([("a", "b")] * 3), "a.pptx", Limits(max_pages=2)),
        (b"too many words", "a.txt", Limits(max_characters=5)),
        (b"# a\n\n# b\n\n# c\n", "a.md", Limits(max_blocks=2)),
        (files.archive({f"word/{n}.xml": "<a/>" for n in range(50)} | {"word/document.xml": "<a/>"}),
         "a.docx", Limits(max_parts=10)),
        (b"x" * 100, "a.txt", Limits(max_bytes=99)),
    ],
)  # fmt: skip
def test_each_limit_on_size_ends_as_too_large(content: bytes, name: str, limits: Limits) -> None:
    assert failure(content, name, limits).code == "too_large"
