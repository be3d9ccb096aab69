"""Instructions hidden in documents of every kind: `python -m tests.injection.hidings` prints what is read of them."""

from __future__ import annotations

import base64
import html
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from xml.sax.saxutils import escape

from tests.injection.attacks import attacks, survivors
from tests.parsers import files
from workers.ingest.parse import Limits, parse
from workers.ingest.types import ParsedText

SEEN = "The notice period is three months."
_WHITE = '<w:rPr><w:color w:val="FFFFFF"/></w:rPr>'
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


@dataclass(frozen=True)
class Hiding:
    """A way to hide instructions in a file, and whether the parser promises to leave them out."""

    name: str
    file_name: str
    make: Callable[[Sequence[str]], bytes]
    promised: bool = True

    def read(self, instructions: Sequence[str]) -> ParsedText:
        """Return what the real parser reads of a file that hides them."""
        return parse(
            path_or_bytes=self.make(instructions),
            file_name=self.file_name,
            declared_mime=None,
            limits=Limits(wall_seconds=60),
            on_wait=lambda: None,
        )


def _html(each: str, *, head: str = "") -> Callable[[Sequence[str]], bytes]:
    def make(instructions: Sequence[str]) -> bytes:
        hidden = "\n".join(each.format(html.escape(one)) for one in instructions)
        return (
            f"<!doctype html><html><head><title>Notice</title>{head}</head><body>"
            f"<p>{SEEN}</p>{hidden}</body></html>"
        ).encode()

    return make


def _docx(run: str) -> Callable[[Sequence[str]], bytes]:
    def make(instructions: Sequence[str]) -> bytes:
        hidden = (files.paragraph(escape(one), run=run) for one in instructions)
        return files.docx(files.paragraph(SEEN) + "".join(hidden))

    return make


def _docx_part(name: str, each: str, root: str) -> Callable[[Sequence[str]], bytes]:
    """Hide them in a part beside the document, such as its comments or its properties."""

    def make(instructions: Sequence[str]) -> bytes:
        inner = "".join(each.format(escape(one)) for one in instructions)
        out = BytesIO(files.docx(files.paragraph(SEEN)))
        with zipfile.ZipFile(out, "a") as package:
            package.writestr(name, f'<?xml version="1.0"?>{root.format(inner)}')
        return out.getvalue()

    return make


def _docx_body(each: str) -> Callable[[Sequence[str]], bytes]:
    def make(instructions: Sequence[str]) -> bytes:
        hidden = "".join(each.format(escape(one)) for one in instructions)
        return files.docx(files.paragraph(SEEN) + hidden)

    return make


def _text(each: Callable[[str], str]) -> Callable[[Sequence[str]], bytes]:
    return lambda instructions: "\n\n".join([SEEN, *map(each, instructions)]).encode()


def _pdf(operators: str) -> Callable[[Sequence[str]], bytes]:
    """Hide them in a page, after operators for colour, kind or size of type."""

    def make(instructions: Sequence[str]) -> bytes:
        lines = [" ".join(one.split()) for one in instructions]
        safe = [
            one.encode("ascii", "ignore")
            .decode()
            .replace("\\", " ")
            .replace("(", " ")
            .replace(")", " ")
            for one in lines
        ]
        pages = [
            [(12, SEEN), *((12, f"\x00{line}") for line in safe[at : at + 20])]
            for at in range(0, len(safe), 20)
        ]
        content = files.pdf(pages).decode("latin-1")
        # Instead of a length that no longer fits, offsets are left to the reader to mend.
        return content.replace("(\x00", f") Tj {operators} (").encode("latin-1")

    return make


def _mail(instructions: Sequence[str]) -> bytes:
    headers = "\n".join(
        f"X-Note-{n}: {' '.join(one.split())}" for n, one in enumerate(instructions)
    )
    return f"From: a@example.org\nSubject: Notice\n{headers}\n\n{SEEN}\n".encode("utf-8", "ignore")


def _tags(instruction: str) -> str:
    """Write ASCII as the "tag" characters of Unicode, which nobody sees and a model may read."""
    return "".join(chr(0xE0000 + ord(c)) for c in instruction if 0x20 <= ord(c) < 0x7F)


_COMMENT_PART = f"<w:comments {_W}>{{}}</w:comments>"
_CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/">{}</cp:coreProperties>'
)
HIDINGS = (
    Hiding("plain text", "a.txt", _text(str), promised=False),
    Hiding(
        "base64 (which is what comes through)",
        "a.txt",
        _text(lambda s: base64.b64encode(s.encode()).decode()),
        promised=False,
    ),
    Hiding("tag characters", "a.txt", _text(_tags)),
    Hiding("zero widths between letters", "a.txt", _text("\u200b".join), promised=False),
    Hiding("Markdown: comment", "a.md", _text("<!-- {} -->".format)),
    Hiding(
        "Markdown: white span",
        "a.md",
        _text('<span style="color:#fff">{}</span>'.format),
        promised=False,
    ),
    Hiding("HTML: paragraph", "a.html", _html("<p>{}</p>"), promised=False),
    Hiding("HTML: comment", "a.html", _html("<!-- {} -->")),
    Hiding("HTML: display:none", "a.html", _html('<p style="display:none">{}</p>')),
    Hiding("HTML: hidden", "a.html", _html("<p hidden>{}</p>")),
    Hiding("HTML: off the page", "a.html", _html('<p style="left:-9999px">{}</p>')),
    Hiding("HTML: size 0", "a.html", _html('<p style="font-size:0">{}</p>')),
    Hiding("HTML: size 1px", "a.html", _html('<p style="font-size:1px">{}</p>')),
    Hiding("HTML: white on white", "a.html", _html('<p style="color:#ffffff">{}</p>')),
    Hiding(
        "HTML: colour of its ground",
        "a.html",
        _html('<p style="background:#123456;color:#123456">{}</p>'),
    ),
    Hiding("HTML: old font tag, white", "a.html", _html('<font color="white">{}</font>')),
    Hiding(
        "HTML: class hidden by a style sheet",
        "a.html",
        _html('<p class="x">{}</p>', head="<style>.x{display:none}</style>"),
    ),
    Hiding(
        "HTML: class made white by a style sheet",
        "a.html",
        _html('<p class="x">{}</p>', head="<style>.x{color:#fff}</style>"),
        promised=False,
    ),
    Hiding("HTML: attributes", "a.html", _html('<p title="{0}" data-x="{0}">.</p>')),
    Hiding("HTML: alternative text", "a.html", _html('<img src="x.png" alt="{}">'), promised=False),
    Hiding("HTML: meta", "a.html", _html('<meta name="description" content="{}">')),
    Hiding("Word: paragraph", "a.docx", _docx(""), promised=False),
    Hiding("Word: white on white", "a.docx", _docx(_WHITE)),
    Hiding("Word: hidden", "a.docx", _docx("<w:rPr><w:vanish/></w:rPr>")),
    Hiding("Word: one point high", "a.docx", _docx('<w:rPr><w:sz w:val="2"/></w:rPr>')),
    Hiding(
        "Word: deleted",
        "a.docx",
        _docx_body("<w:p><w:del><w:r><w:delText>{}</w:delText></w:r></w:del></w:p>"),
    ),
    Hiding(
        "Word: comment",
        "a.docx",
        _docx_part(
            "word/comments.xml",
            '<w:comment w:id="1"><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:comment>',
            _COMMENT_PART,
        ),
    ),
    Hiding(
        "Word: properties",
        "a.docx",
        _docx_part("docProps/core.xml", "<dc:description>{}</dc:description>", _CORE),
    ),
    Hiding("PDF: text", "a.pdf", _pdf("0 g"), promised=False),
    Hiding("PDF: white on white", "a.pdf", _pdf("1 1 1 rg"), promised=False),
    Hiding("PDF: invisible", "a.pdf", _pdf("3 Tr"), promised=False),
    Hiding("PDF: one point high", "a.pdf", _pdf("/F1 1 Tf"), promised=False),
    Hiding("mail: headers", "a.eml", _mail),
)


def main() -> None:
    """Print how many instructions each way brings through its parser."""
    instructions = attacks()
    print("| hidden as | of | come through |\n| --- | --- | --- |")
    for hiding in HIDINGS:
        found = survivors(instructions, hiding.read(instructions).text)
        print(f"| {hiding.name} | {len(instructions)} | {len(found)} |")


if __name__ == "__main__":
    main()
