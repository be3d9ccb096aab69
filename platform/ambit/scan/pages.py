"""What lies packed or cut up in Postgres' pages and in its write-ahead log, live, dead or left in a hole.

A tuple that VACUUM took away is in no list any more. So none is asked for: values that are packed, and pieces of
long values, are known by the shape of their headers, wherever those stand.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambit.scan import lz4, pglz

PAGE = 8192
_UNPACK = {0: pglz.unpack, 1: lz4.unpack}
# What packing makes at most of one byte; more is no header but chance.
_MOST_TIMES = 300
_LEAST_PACKED = 16
# natts = 3, no nulls, t_hoff = 24 and a byte of padding: how the header of a piece of TOAST ends.
_PIECE = re.compile(rb"(?s)(?=\x03[\x00\x20\x40\x60\x80\xa0\xc0\xe0]..\x18.(.{4})(.{4})(.{4}))")
_PIECE_HEAD = 14
_MOST_OF_PIECE = 2048
_INDEX_KINDS = {0xFF80: "hash", 0xFF81: "gist", 0xFF82: "spgist", 0xFF84: "ivfflat", 0xFF90: "hnsw"}
_INDEX_KINDS |= {0xF091: "brin", 0xF092: "brin", 0xF093: "brin"}
_PAGE_HEADER = struct.Struct("<8x4xHHHH")


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a long value in TOAST: which value, which of its pieces, and where its bytes are."""

    value_id: int
    number: int
    at: int
    size: int


def kind_of_page(page: bytes) -> str:
    """Return what a page belongs to: "table", "toast", an index method; empty if it is no page."""
    if len(page) < PAGE:
        return ""
    lower, upper, special, size_and_version = _PAGE_HEADER.unpack_from(page)
    if size_and_version != PAGE | 4 or not 24 <= lower <= upper <= special <= PAGE:
        return ""
    if special == PAGE:
        return "toast" if next(pieces_in(page, step=8), None) else "table"
    last = int.from_bytes(page[-2:], "little")
    if last in _INDEX_KINDS:
        return _INDEX_KINDS[last]
    return {8: "gin", 16: "btree"}.get(PAGE - special, "index")


def has_page(block: bytes) -> bool:
    """Say whether any page of a block is one of Postgres' tables or indexes."""
    whole = len(block) // PAGE * PAGE
    marks = np.frombuffer(block, dtype="<u2", count=whole // 2).reshape(-1, PAGE // 2)[:, 9]
    return bool((marks == (PAGE | 4)).any())


def kind_of_page_at(data: bytes, number: int) -> str:
    """Return the kind of one of the pages that data is made of."""
    return kind_of_page(data[number * PAGE : (number + 1) * PAGE])


def packed_in(data: bytes, *, step: int) -> Iterator[tuple[int, bytes]]:
    """Yield where a packed value begins and what it holds, as far as it can be unpacked.

    step is how values are aligned: 4 in pages, 1 in the log.
    """
    for shift in range(0, min(4, len(data)), step):
        words = np.frombuffer(data, dtype="<u4", count=(len(data) - shift) // 4, offset=shift)
        for place in _packed_places(words):
            at = shift + place * 4
            size = int(words[place]) >> 2
            value = unpacked(data[at + 4 : at + size])
            if value:
                yield at, value


def _packed_places(words: NDArray[np.uint32]) -> list[int]:
    heads, infos = words[:-1], words[1:]
    likely = np.flatnonzero((heads & 3 == 2) & (heads >> 2 >= _LEAST_PACKED) & (heads >> 2 < PAGE))
    sizes = (heads[likely] >> 2).astype(np.int64)
    raws = (infos[likely] & 0x3FFFFFFF).astype(np.int64)
    fitting = (raws + 8 > sizes) & (raws <= sizes * _MOST_TIMES) & (infos[likely] >> 30 < 2)
    found: list[int] = likely[fitting].tolist()
    return found


def unpacked(packed: bytes) -> bytes:
    """Return what a value holds that begins with its size and method; empty if it does not."""
    if len(packed) < 4:
        return b""
    (info,) = struct.unpack_from("<I", packed)
    size, method = info & 0x3FFFFFFF, info >> 30
    if method not in _UNPACK or not len(packed) - 4 < size <= len(packed) * _MOST_TIMES:
        return b""
    return _UNPACK[method](packed[4:], size)


def pieces_in(data: bytes, *, step: int) -> Iterator[Piece]:
    """Yield the pieces of TOAST in pages (step 8) or in the log (step 1), complete or cut off."""
    for match in _PIECE.finditer(data):
        at = match.start() + _PIECE_HEAD
        # In a page the header begins 18 bytes before, and headers begin at multiples of 8.
        if (match.start() - 18) % step:
            continue
        value_id, number, head = (int.from_bytes(group, "little") for group in match.groups())
        if head & 1:
            # One byte of length, and the value follows it at once.
            size, at = (head & 0xFF) >> 1, at + 1
        elif head & 3 == 0:
            size, at = head >> 2, at + 4
        else:
            continue
        if size > 4 and size <= _MOST_OF_PIECE and value_id and number < 1 << 22:
            yield Piece(value_id, number, at, min(size - (1 if head & 1 else 4), len(data) - at))
