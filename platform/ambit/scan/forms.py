"""The forms in which a canary's bytes may lie somewhere: encodings of a text, windows of a vector."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ambit.scan.canaries import Canary

# A window is so many neighbouring dimensions. Several, far apart: a tuple that is partly overwritten
# is found by what is left of it.
WINDOW, WINDOWS, DECIMALS, DECIMAL_WINDOWS = 12, 8, 4, 4
# Fewer different numbers than this may stand in anybody's vector.
MIN_DIFFERENT, MIN_DECIMALS = 3, 16

Numbers = NDArray[np.floating]


def forms_of(canary: Canary) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each form, none of them twice."""
    seen = set()
    for name, found in _forms(canary):
        if found not in seen:
            seen.add(found)
            yield name, found


def _forms(canary: Canary) -> Iterator[tuple[str, bytes]]:
    for text in canary.texts:
        yield from _forms_of_text(text)
    yield from _forms_of_vector(canary.vector)
    for raw in canary.raw:
        yield "bytes", raw


def _forms_of_text(text: str) -> Iterator[tuple[str, bytes]]:
    yield "utf-8", text.encode()
    for written in _spellings(text):
        for cased in (written, written.casefold(), written.lower(), written.upper()):
            yield "utf-8" if cased == text else "case or normal form", cased.encode()
            yield from _utf16(cased)
        plain = written.encode()
        yield from _base64(plain)
        yield "hex", plain.hex().encode()
        yield "hex", plain.hex().upper().encode()
        escaped = json.dumps(written)[1:-1]
        yield "json", escaped.encode()
        yield "json", json.dumps(written, ensure_ascii=False)[1:-1].encode()
        yield "percent", quote(written, safe="").encode()
        yield "percent", quote(written, safe="@:/").encode()


def _spellings(text: str) -> list[str]:
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return list(dict.fromkeys(forms))


def _utf16(text: str) -> Iterator[tuple[str, bytes]]:
    little, big = text.encode("utf-16-le"), text.encode("utf-16-be")
    if little[:-1] == big[1:]:
        # Latin letters: both byte orders hold the same run between first and last letter.
        yield "utf-16", big[1:]
    else:
        yield "utf-16", little
        yield "utf-16", big


def _base64(plain: bytes) -> Iterator[tuple[str, bytes]]:
    # A text begins at any of three places of a group; letters that depend on a neighbour are left out.
    for before in range(3):
        first, last = -(-8 * before // 6), 8 * (before + len(plain)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", encode(bytes(before) + plain)[first:last]


def _forms_of_vector(vector: Sequence[float]) -> Iterator[tuple[str, bytes]]:
    with np.errstate(over="ignore"):
        single = np.array(vector, dtype="<f4")
        half = single.astype("<f2")
    for name, numbers in (("float32", single), ("half", half)):
        yield from _windows(name, numbers)
        # An index for cosine similarity keeps the vector at length 1.
        yield from _windows(f"{name} of length 1", _of_length_1(numbers))
        for start in _starts(len(numbers), DECIMALS, DECIMAL_WINDOWS):
            window = numbers[start : start + DECIMALS]
            written = ",".join(map(_decimal, window.astype("<f4"))).encode()
            if _is_telling(window) and len(written) >= MIN_DECIMALS:
                yield "decimals", written


def _windows(name: str, numbers: Numbers) -> Iterator[tuple[str, bytes]]:
    for start in _starts(len(numbers), WINDOW, WINDOWS):
        window = numbers[start : start + WINDOW]
        if _is_telling(window):
            yield name, window.tobytes()


def _of_length_1(numbers: Numbers) -> Numbers:
    exact = numbers.astype("<f8")
    length = np.sqrt((exact * exact).sum())
    if not 0 < length < np.inf:
        return numbers
    shortened: Numbers = (exact / length).astype("<f4").astype(numbers.dtype)
    return shortened


def _starts(length: int, window: int, most: int) -> range:
    n = min(most, length // window)
    return range(0, n * (length // n), length // n) if n else range(0)


def _is_telling(window: Numbers) -> bool:
    different = {float(number) for number in window} - {0.0}
    return len(different) >= MIN_DIFFERENT and bool(np.isfinite(window).all())


def _decimal(number: np.float32) -> str:
    """Write a number as pgvector does: the shortest decimal that reads back as the same float4."""
    text = f"{number!s}"
    return text.removesuffix(".0")
