"""Bytes of a text file to characters; says so when it cannot tell."""

from __future__ import annotations

import codecs
import re

from workers.ingest.parsers.failures import WrongEncoding

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 65_536
# Tabs, line ends and form feeds are text, and so is ESC in the ISO-2022 encodings.
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_BAD_SHARE = 0.01


def decode(data: bytes, *, declared: str | None = None, what: str = "text") -> str:
    """Decode by mark, UTF-8, the declared name, then by guess; raise WrongEncoding where none fits.

    A few stray bytes in UTF-8 become U+FFFD rather than a failure.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="replace")
    text: str | None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A sample may end inside a character.
        cut = error.reason == "unexpected end of data" and error.start >= len(data) - 3
        text = data[: error.start].decode("utf-8") if cut else None
    if text is not None and not _binary(text):
        return text
    wide = _wide(data)
    if wide is not None:
        return wide
    for guess in (_declared(data, declared), _nearly_utf8(data), _guessed(data)):
        if guess is not None and not _binary(guess):
            return guess
    raise WrongEncoding(what)


def looks_like_text(data: bytes) -> bool:
    """Tell whether the bytes decode to something a person could read."""
    try:
        decode(data[:_SAMPLE])
    except WrongEncoding:
        return False
    return True


def _binary(text: str) -> bool:
    sample = text[:_SAMPLE]
    return len(_NOT_TEXT.findall(sample)) > max(1, len(sample) * _MAX_BAD_SHARE)


def _wide(data: bytes) -> str | None:
    """Recognise UTF-16 without a mark by its zero bytes: every second one, in western text."""
    sample = data[:4096]
    if len(sample) < 8 or len(data) % 2:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros > half * 0.6 and others < half * 0.05:
            try:
                return data.decode(name)
            except UnicodeDecodeError:
                return None
    return None


def _declared(data: bytes, name: str | None) -> str | None:
    if not name:
        return None
    try:
        if codecs.lookup(name).name == "utf-8":
            return None
        return data.decode(name)
    except (LookupError, UnicodeDecodeError, ValueError):
        return None


def _nearly_utf8(data: bytes) -> str | None:
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    beyond_ascii = sum(1 for byte in data[:_SAMPLE] if byte > 0x7F)
    if bad > len(text) * _MAX_BAD_SHARE or bad * 2 > beyond_ascii:
        return None
    return text


def _guessed(data: bytes) -> str | None:
    import charset_normalizer

    best = charset_normalizer.from_bytes(data[:_SAMPLE]).best()
    name = best.encoding if best is not None else "cp1252"
    try:
        return data.decode(name, errors="replace")
    except LookupError:
        return None
