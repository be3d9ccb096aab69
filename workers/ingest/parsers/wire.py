"""What the parser process says to its parent: two lengths, JSON, UTF-8 text; checked as if an attacker wrote it."""

from __future__ import annotations

import json
import struct
from typing import Any

from workers.ingest.parsers.failures import FAILURES, ParseFailure
from workers.ingest.parsers.limits import Limits
from workers.ingest.types import Block, ParsedText

MAGIC = b"AMBIT-PARSE-1\n"
KINDS = ("heading", "text", "table", "code")
MAX_SECTION = 400
_HEAD = struct.Struct(">II")
_MAX_INT = 2**40


class Malformed(ValueError):
    """The reply breaks the format; it is dropped whole."""


def encode(result: ParsedText | ParseFailure) -> bytes:
    """Turn a result or a failure into one reply."""
    if isinstance(result, ParseFailure):
        return _frame({"code": result.code, "facts": result.facts}, "")
    sections: dict[str, int] = {}
    blocks = [
        [
            block.start,
            block.end,
            sections.setdefault(block.section, len(sections)),
            block.page,
            KINDS.index(block.kind),
        ]
        for block in result.blocks
    ]
    meta = {
        "n_pages": result.n_pages,
        "mime": result.mime,
        "parser": result.parser,
        "sections": list(sections),
        "blocks": blocks,
    }
    return _frame(meta, result.text)


def _frame(meta: dict[str, Any], text: str) -> bytes:
    head, body = json.dumps(meta, ensure_ascii=False).encode(), text.encode()
    return MAGIC + _HEAD.pack(len(head), len(body)) + head + body


def max_reply_bytes(limits: Limits) -> int:
    """Bound a reply: four bytes for each character, and a hundred for each block."""
    return 4 * limits.max_characters + 100 * limits.max_blocks + 65_536


def decode(reply: bytes, *, limits: Limits) -> ParsedText | ParseFailure:
    """Rebuild the result or failure a reply holds; raise Malformed on anything out of order."""
    try:
        meta, body = _unframe(reply)
        if "code" in meta:
            return _failure(meta)
        return _parsed(meta, body.decode("utf-8"), limits)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, struct.error) as error:
        raise Malformed(type(error).__name__) from None


def _unframe(reply: bytes) -> tuple[dict[str, Any], bytes]:
    at = len(MAGIC) + _HEAD.size
    if not reply.startswith(MAGIC):
        raise ValueError
    n_meta, n_text = _HEAD.unpack(reply[len(MAGIC) : at])
    if len(reply) != at + n_meta + n_text:
        raise ValueError
    meta = json.loads(reply[at : at + n_meta])
    if not isinstance(meta, dict):
        raise TypeError
    return meta, reply[at + n_meta :]


def _failure(meta: dict[str, Any]) -> ParseFailure:
    facts = meta["facts"]
    if not isinstance(facts, dict) or len(facts) > 4:
        raise ValueError
    for value in facts.values():
        if isinstance(value, str):
            if len(value) > 100:
                raise ValueError
        else:
            _whole(value, _MAX_INT)
    return FAILURES[meta["code"]](**facts)


def _parsed(meta: dict[str, Any], text: str, limits: Limits) -> ParsedText:
    sections, raw = meta["sections"], meta["blocks"]
    if not (isinstance(sections, list) and isinstance(raw, list)):
        raise TypeError
    if not text or "\x00" in text or len(text) > limits.max_characters:
        raise ValueError
    if not raw or len(raw) > limits.max_blocks or len(sections) > len(raw):
        raise ValueError
    if any("\x00" in _words(section, MAX_SECTION) for section in sections):
        raise ValueError
    n_pages = meta["n_pages"]
    if n_pages is not None:
        _whole(n_pages, limits.max_pages)
    blocks: list[Block] = []
    at = 0
    for start, end, section, page, kind in raw:
        if not at <= _whole(start, len(text)) < _whole(end, len(text)):
            raise ValueError
        if page is not None and not _whole(page, limits.max_pages) >= 1:
            raise ValueError
        name = sections[_whole(section, len(sections) - 1)]
        blocks.append(
            Block(start=start, end=end, section=name, page=page, kind=KINDS[_whole(kind, 3)])
        )
        at = end
    return ParsedText(
        text=text,
        blocks=tuple(blocks),
        n_pages=n_pages,
        mime=_words(meta["mime"], 100),
        parser=_words(meta["parser"], 60),
    )


def _whole(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return value


def _words(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError
    # JSON can smuggle a lone surrogate past the UTF-8 decoder.
    value.encode("utf-8")
    return value
