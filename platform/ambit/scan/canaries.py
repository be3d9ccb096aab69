"""Canaries: what is looked for, read from a file of one JSON object a line.

An error names the line and what is wrong with it, NEVER what stands there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIN_CHARACTERS, MIN_DIFFERENT = 6, 4
# A run of bytes longer than a block's overlap should be is no fingerprint but a file.
MAX_BYTES = 4096
FIELDS = {"id", "text", "words", "vector", "bytes"}


class CanariesInvalid(ValueError):
    """The file of canaries cannot be used; the text names the line and never its content."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One thing whose bytes are looked for, known by its id alone in everything that is said."""

    id: str
    texts: tuple[str, ...] = ()
    vector: tuple[float, ...] = ()
    raw: tuple[bytes, ...] = ()


def read_canaries(path: Path) -> list[Canary]:
    """Return the canaries of a file; raise CanariesInvalid for one that is empty, unclear or double."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CanariesInvalid(f"{path} cannot be read: {error.strerror}") from None
    found: dict[str, Canary] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            canary = _canary(line)
        except CanariesInvalid as error:
            raise CanariesInvalid(f"{path}, line {number}: {error}") from None
        if canary.id in found:
            raise CanariesInvalid(f"{path}, line {number}: this id was given before")
        found[canary.id] = canary
    if not found:
        raise CanariesInvalid(f"{path} holds no canary: nothing would be looked for")
    return list(found.values())


def _canary(line: bytes) -> Canary:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise CanariesInvalid("this is not JSON in UTF-8") from None
    if not isinstance(given, dict) or not given.keys() <= FIELDS:
        raise CanariesInvalid(f"an object of {', '.join(sorted(FIELDS))} is expected")
    name = given.get("id")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise CanariesInvalid("`id` must be a text")
    texts = [given["text"]] if "text" in given else []
    canary = Canary(
        id=name,
        texts=tuple(_texts([*texts, *_list(given, "words")])),
        vector=tuple(_numbers(_list(given, "vector"))),
        raw=tuple(_raw(_list(given, "bytes"))),
    )
    if not (canary.texts or canary.vector or canary.raw):
        raise CanariesInvalid("`text`, `words`, `vector` or `bytes` must be given")
    return canary


def _list(given: dict[str, Any], name: str) -> list[Any]:
    found = given.get(name, [])
    if not isinstance(found, list):
        raise CanariesInvalid(f"`{name}` must be a list")
    return found


def _texts(given: list[Any]) -> Iterator[str]:
    for text in given:
        if not isinstance(text, str):
            raise CanariesInvalid("`text` must be a text, `words` a list of texts")
        if len(text) < MIN_CHARACTERS or len(set(text.casefold())) < MIN_DIFFERENT:
            raise CanariesInvalid(
                f"a text of fewer than {MIN_CHARACTERS} characters, or of fewer than "
                f"{MIN_DIFFERENT} different ones, would be found by chance"
            )
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise CanariesInvalid("a text holds half a character") from None
        if size > MAX_BYTES:
            raise CanariesInvalid(f"a text is longer than {MAX_BYTES} bytes; give a part of it")
        yield text


def _numbers(given: list[Any]) -> Iterator[float]:
    for number in given:
        if type(number) not in {int, float} or not math.isfinite(number):
            raise CanariesInvalid("`vector` must be a list of finite numbers")
        yield float(number)


def _raw(given: list[Any]) -> Iterator[bytes]:
    for text in given:
        try:
            raw = bytes.fromhex(text)
        except (TypeError, ValueError):
            raise CanariesInvalid("`bytes` must be a list of texts in hexadecimal") from None
        if not MIN_CHARACTERS <= len(raw) <= MAX_BYTES or len(set(raw)) < MIN_DIFFERENT:
            raise CanariesInvalid(
                f"`bytes` must be {MIN_CHARACTERS} to {MAX_BYTES} bytes, "
                f"{MIN_DIFFERENT} of them different"
            )
        yield raw
