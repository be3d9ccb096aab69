"""Strings that Redis packed in a snapshot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ambit.scan import lzf

# The mark of a packed string; two lengths follow, of what is packed and of what it holds.
_PACKED = re.compile(rb"(?s)\xc3(?=([\x00-\x7f].|\x80.{4}))")
_MOST_TIMES = 300


def is_snapshot(first: bytes) -> bool:
    """Say whether a file begins as Redis' snapshots do, also at the head of an append-only file."""
    return first.startswith(b"REDIS0")


def packed_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where a packed string stands and what it holds, where that is whole."""
    for match in _PACKED.finditer(data):
        n_packed, at = _length(data, match.end())
        size, at = _length(data, at)
        if 0 < n_packed <= len(data) - at and n_packed < size <= n_packed * _MOST_TIMES:
            value = lzf.unpack(data[at : at + n_packed], size)
            if len(value) == size:
                yield match.start(), value


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length and where it ends; 0 for what is none."""
    first = data[at] if at < len(data) else 0xFF
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | int.from_bytes(data[at + 1 : at + 2]), at + 2
    if first == 0x80:
        return int.from_bytes(data[at + 1 : at + 5]), at + 5
    return 0, at + 1
