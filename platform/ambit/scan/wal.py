"""Read Postgres' write-ahead log: without the headers of its pages, and the page images packed in it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ambit.scan import lz4, pglz
from ambit.scan.pages import PAGE

_PAGE_HEADER = struct.Struct("<HHIQI")
_SHORT, _LONG, _LONG_FLAG = 24, 40, 2
_RECORD, _LAST_BLOCK, _MOST_OF_HEADER = 24, 32, 32
# What follows the blocks of a record, and what may stand between them, with the size of each.
_DATA_HEADERS, _OTHER_HEADERS = {255: 2, 254: 5}, {253: 3, 252: 5}
_HAS_IMAGE, _SAME_RELATION = 0x10, 0x80
_HOLE, _PGLZ, _LZ4, _ZSTD = 0x01, 0x04, 0x08, 0x10


@dataclass(frozen=True, slots=True)
class Log:
    """The records of some pages of the log, and where in them a record begins for certain."""

    data: bytes
    starts: tuple[int, ...]

    def joined(self, following: Log) -> Log:
        """Return these records and those that follow them."""
        moved = tuple(len(self.data) + start for start in following.starts)
        return Log(self.data + following.data, self.starts + moved)


def is_wal_page(page: bytes) -> bool:
    """Say whether these bytes begin a page of the log."""
    if len(page) < _SHORT:
        return False
    magic, flags, _, address, _ = _PAGE_HEADER.unpack_from(page)
    return magic >> 8 in {0xD0, 0xD1} and flags < 16 and address % PAGE == 0


def strip(pages: bytes) -> Log:
    """Return what the pages hold without their headers; what is no page of the log stays whole."""
    parts: list[bytes] = []
    starts: list[int] = []
    size = 0
    for at in range(0, len(pages), PAGE):
        page = pages[at : at + PAGE]
        if is_wal_page(page):
            _, flags, _, _, remaining = _PAGE_HEADER.unpack_from(page)
            page = page[_LONG if flags & _LONG_FLAG else _SHORT :]
            if remaining < len(page):
                starts.append(size + _aligned(remaining))
        parts.append(page)
        size += len(page)
    return Log(b"".join(parts), tuple(starts))


@dataclass(frozen=True, slots=True)
class Image:
    """A page that was written whole into the log; content is None where it is packed with zstd."""

    at: int
    content: bytes | None


def images_in(log: Log) -> Iterator[Image]:
    """Yield the packed page images; those that are not packed stand in the log as they are."""
    data = log.data + bytes(_MOST_OF_HEADER)
    for start, stop in pairwise([*log.starts, len(log.data)]):
        at = start
        while at + _RECORD <= stop:
            (size,) = struct.unpack_from("<I", data, at)
            # Ends behind where the next page says a record begins: its own end was overwritten.
            if size < _RECORD or at + size > stop:
                break
            yield from _images(data, at, at + size)
            at += _aligned(size)


def _images(data: bytes, at: int, end: int) -> Iterator[Image]:
    """Yield the packed images of one record; nothing of one that is not shaped like a record."""
    at += _RECORD
    blocks: list[tuple[int, int, int, int]] = []
    following = 0
    while at < end - following:
        kind = data[at]
        if kind in _DATA_HEADERS:
            at += _DATA_HEADERS[kind]
            break
        if kind in _OTHER_HEADERS:
            at += _OTHER_HEADERS[kind]
            continue
        if kind > _LAST_BLOCK:
            return
        fork, n_data = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "little")
        at += 4
        n_image = flags = hole = 0
        if fork & _HAS_IMAGE:
            n_image, _, flags = struct.unpack_from("<HHB", data, at)
            at += 5
            if flags & _HOLE and flags & (_PGLZ | _LZ4 | _ZSTD):
                hole = int.from_bytes(data[at : at + 2], "little")
                at += 2
        at += 4 if fork & _SAME_RELATION else 16
        following += n_image + n_data
        blocks.append((n_image, flags, hole, n_data))
    if at + following > end:
        return
    for n_image, flags, hole, n_data in blocks:
        if flags & (_PGLZ | _LZ4 | _ZSTD):
            yield Image(at, _unpack(data[at : at + n_image], flags, PAGE - hole))
        at += n_image + n_data


def _unpack(packed: bytes, flags: int, size: int) -> bytes | None:
    if flags & _ZSTD:
        return None
    return (pglz.unpack if flags & _PGLZ else lz4.unpack)(packed, size)


def _aligned(size: int) -> int:
    return (size + 7) & ~7
