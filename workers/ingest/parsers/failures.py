"""Why a document could not be read, in words for the person who uploaded it and never in its own words."""

from __future__ import annotations

import re
from typing import ClassVar

SUPPORTED = (
    "PDF, Word, PowerPoint, Excel, OpenDocument, RTF, EPUB, HTML, Markdown, CSV, "
    "e-mail (EML, MSG) and plain text"
)

# Every noun a failure may contain: the parser process sends a key, never words of its own, so a
# hostile document cannot put its text into a reason, a log or an audit event.
NOUNS = {
    "file": "a file",
    "text": "a text file",
    "pdf": "a PDF",
    "docx": "a Word document",
    "pptx": "a PowerPoint presentation",
    "xlsx": "an Excel workbook",
    "xlsb": "an Excel workbook",
    "xls": "an Excel workbook",
    "doc": "a Word document",
    "ppt": "a PowerPoint presentation",
    "odt": "an OpenDocument text",
    "ods": "an OpenDocument spreadsheet",
    "odp": "an OpenDocument presentation",
    "rtf": "an RTF document",
    "epub": "an EPUB book",
    "html": "an HTML page",
    "markdown": "a Markdown file",
    "csv": "a CSV file",
    "eml": "an e-mail",
    "msg": "an Outlook message",
    "zip": "a ZIP archive",
    "archive": "an archive",
    "gzip": "a compressed file",
    "mbox": "a mailbox of several e-mails",
    "xml": "an XML file",
    "svg": "an SVG drawing",
    "image": "an image",
    "audio": "a sound or video file",
    "program": "a program",
    "database": "a database file",
    "iwork": "an Apple Pages, Numbers or Keynote file",
    "onenote": "a OneNote notebook",
    "odg": "an OpenDocument drawing",
    "visio": "a Visio drawing",
    "xps": "an XPS document",
    "ole": "a legacy Office file of a kind that is not known",
    "office": "an Office file of a kind that is not known",
    "word6": "a Word 6 or Word 95 document",
    "wordperfect": "a WordPerfect document",
    "lotus": "a Lotus or Quattro spreadsheet",
    "signature": "a signed or encrypted message",
    "pgp": "a PGP-encrypted file",
    "binary": "binary data of a kind that is not known",
}

_TOO_LARGE = {
    "bytes": "It is larger than {limit:,} bytes.",
    "unpacked": "Unpacked it would be larger than {limit:,} bytes, or it is packed so tightly that it "
    "looks like a decompression bomb.",
    "parts": "It contains more than {limit:,} parts.",
    "pages": "It has more than {limit:,} pages.",
    "characters": "It has more than {limit:,} characters of text.",
    "depth": "Its parts are nested more than {limit:,} levels deep.",
    "blocks": "It has more than {limit:,} separate pieces of text.",
    "memory": "Reading it needs more memory than the {limit:,} bytes allowed.",
}

_HOW = re.compile(r"[A-Za-z_][A-Za-z0-9_.:]{0,99}\Z")


class ParseFailure(Exception):
    """A document that cannot be read: a code, whole-number facts, and a sentence without content."""

    code: ClassVar[str] = "parse_failed"

    @property
    def reason(self) -> str:
        """Say why in one or two sentences."""
        return str(self)

    @property
    def facts(self) -> dict[str, int | str]:
        """Give what is needed to raise the same failure again on the other side of a pipe."""
        return {}


class _AboutKind(ParseFailure):
    sentence: ClassVar[str]

    def __init__(self, what: str = "file") -> None:
        self.what = what if what in NOUNS else "file"
        super().__init__(self.sentence.format(noun=NOUNS[self.what], supported=SUPPORTED))

    @property
    def facts(self) -> dict[str, int | str]:
        """Give the kind of file."""
        return {"what": self.what}


class EmptyFile(_AboutKind):
    """There is nothing in the file."""

    code = "empty_file"
    sentence = "The file is empty: it is {noun} with nothing in it."


class UnsupportedType(_AboutKind):
    """The bytes are of a kind no parser here reads, whatever the file's name says."""

    code = "unsupported_type"
    sentence = "This is {noun}, which cannot be read. Supported are {supported}."


class EncryptedFile(_AboutKind):
    """A password is needed to open the file."""

    code = "encrypted_file"
    sentence = (
        "This is {noun} that is encrypted or password-protected. "
        "Remove the protection and upload it again."
    )


class CorruptFile(_AboutKind):
    """The file is of a known kind and damaged."""

    code = "corrupt_file"
    sentence = "This looks like {noun}, but it is damaged or incomplete and cannot be read."


class WrongEncoding(_AboutKind):
    """Text in an encoding that cannot be told."""

    code = "wrong_encoding"
    sentence = "This is {noun} whose character encoding cannot be told. Save it as UTF-8 and upload it again."


class NoText(ParseFailure):
    """The file opens and holds no text at all."""

    code = "no_text"

    def __init__(self, what: str = "file", n_pages: int = 0) -> None:
        self.what = what if what in NOUNS else "file"
        self.n_pages = n_pages
        # Slides and sheets without words are not scans.
        if n_pages and self.what == "pdf":
            pages = "1 page" if n_pages == 1 else f"{n_pages:,} pages"
            words = f"It has {pages} but no text; it looks scanned, and OCR is not enabled."
        else:
            words = f"This is {NOUNS[self.what]} without any text."
        super().__init__(words)

    @property
    def facts(self) -> dict[str, int | str]:
        """Give the kind and the number of pages."""
        return {"what": self.what, "n_pages": self.n_pages}


class TooLarge(ParseFailure):
    """A limit on size was reached."""

    code = "too_large"

    def __init__(self, what: str, limit: int) -> None:
        self.what = what if what in _TOO_LARGE else "memory"
        self.limit = limit
        super().__init__(_TOO_LARGE[self.what].format(limit=limit))

    @property
    def facts(self) -> dict[str, int | str]:
        """Give which limit, and its value."""
        return {"what": self.what, "limit": self.limit}


class ParserTimedOut(ParseFailure):
    """The parser was stopped at its time limit."""

    code = "parser_timed_out"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Reading it took longer than {seconds:,} seconds and was stopped.")

    @property
    def facts(self) -> dict[str, int | str]:
        """Give the limit in seconds."""
        return {"seconds": self.seconds}


class ParserCrashed(ParseFailure):
    """The parser process ended without a result; `how` is a signal's or an exception's name."""

    code = "parser_crashed"

    def __init__(self, how: str) -> None:
        self.how = how if _HOW.match(how) else "unknown"
        super().__init__(f"The parser failed on this file ({self.how}).")

    @property
    def facts(self) -> dict[str, int | str]:
        """Give the name of the signal or exception."""
        return {"how": self.how}


class ParserUnconfined(ParseFailure):
    """The kernel offers no way to cut the parser off from the network, so nothing was opened."""

    code = "parser_unconfined"

    def __init__(self) -> None:
        super().__init__(
            "The file was not opened: this machine cannot cut a parser off from the network."
        )


FAILURES: dict[str, type[ParseFailure]] = {
    cls.code: cls
    for cls in (
        EmptyFile,
        UnsupportedType,
        EncryptedFile,
        CorruptFile,
        WrongEncoding,
        NoText,
        TooLarge,
        ParserTimedOut,
        ParserCrashed,
        ParserUnconfined,
    )
}
