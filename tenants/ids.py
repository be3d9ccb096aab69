"""Identifiers: UUIDv7 in the database, prefixed text outside."""

from __future__ import annotations

import os
import re
import time
from uuid import UUID

PREFIXES = {
    "tenant": "ten",
    "member": "mem",
    "group": "grp",
    "key": "key",
    "collection": "col",
    "document": "doc",
    "version": "ver",
    "chunk": "chk",
    "answer": "ans",
    "conversation": "cnv",
    "erasure": "era",
    "receipt": "rcp",
    "hold": "hld",
    "restriction": "rst",
    "event": "evt",
    "export": "exp",
    "webhook": "whk",
    "notice": "ntc",
    "adapter": "adp",
}
# The nil identifier: uuid7() never makes it, so nothing has it.
NO_ID = UUID(int=0)
_PUBLIC = re.compile(r"([a-z]{3})_([0-9a-f]{32})")


def uuid7() -> UUID:
    """Return a time-ordered random identifier (RFC 9562, version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((random >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random & ((1 << 62) - 1)
    return UUID(int=value)


def public_id(kind: str, value: UUID) -> str:
    """Return the identifier as people and programs outside see it, such as doc_0199…."""
    return f"{PREFIXES[kind]}_{value.hex}"


def parse_id(kind: str, text: str) -> UUID | None:
    """Return the identifier behind a public one, or None when it is not of this kind."""
    match = _PUBLIC.fullmatch(text)
    if match is None or match[1] != PREFIXES[kind]:
        return None
    return UUID(match[2])


def any_id(text: str) -> UUID | None:
    """Return the identifier behind a public one of whatever kind, or None when it is none."""
    match = _PUBLIC.fullmatch(text)
    return UUID(match[2]) if match is not None and match[1] in PREFIXES.values() else None
