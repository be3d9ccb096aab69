"""Search one file through and through: as it stands, and what is packed or cut up in it."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import BinaryIO

from ambit.scan import containers, pages, redis, wal
from ambit.scan.containers import NotSearchedInside
from ambit.scan.pages import PAGE
from ambit.scan.patterns import Hit, Patterns
from ambit.scan.sources import BLOCK, MAX_HELD, Files, TooLarge, blocks_of, prefixed, read_full
from ambit.scan.toast import Held, Pieces, ReadAt

# A file unpacks to so much at most, and holds files that hold files so deep.
MAX_UNPACKED, MAX_DEPTH = 64 << 30, 4
# How far what begins in one block of the log is followed into the next.
FOLLOWED = 32 * PAGE
# Unpacked values are searched so many bytes together.
BASKET = 1 << 20
_DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Item:
    """What is searched in one go: a file, or all segments of a relation."""

    store: str
    paths: tuple[Path, ...]
    n_bytes: int
    # The next segment of the log, where what begins in this one may go on.
    following: Path | None = None


@dataclass(slots=True)
class Sighting:
    """How often a canary was seen in one place in one form, and where first."""

    count: int
    at: int


@dataclass(slots=True)
class Outcome:
    """What the search of one item came to."""

    item: Item
    # (canary, kind of place, form) -> how often and where first.
    found: dict[tuple[int, str, str], Sighting] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    vanished: bool = False
    n_read: int = 0
    n_unpacked: int = 0
    # Long values without their beginning: searched as they stand, but they may have been packed.
    n_beheaded: int = 0


def search_item(item: Item, patterns: Patterns) -> Outcome:
    """Search an item; what cannot be read is part of the outcome and never raised."""
    search = _Search(item, patterns)
    try:
        search.run()
    except FileNotFoundError:
        search.outcome.vanished = True
    except OSError as error:
        search.say_unread(error.strerror or type(error).__name__)
    search.empty_basket()
    return search.outcome


class _Search:
    """The search of one item."""

    def __init__(self, item: Item, patterns: Patterns) -> None:
        self._item, self._patterns = item, patterns
        self.outcome = Outcome(item)
        self._basket: list[tuple[bytes, str, int]] = []
        self._in_basket = 0
        # Whole pages, so that each block's pages keep their places.
        self._overlap = -(-patterns.longest // PAGE) * PAGE

    def run(self) -> None:
        """Search the item; raise OSError where it cannot be read."""
        self._search_name(str(self._item.paths[0]))
        with Files(self._item.paths) as files:
            first = self._search_blocks(files.blocks(), files.read_at)
            if redis.is_snapshot(first):
                self._unpack_snapshot(files.rewind())
            if kind := containers.kind_of(first):
                self._search_inside(files.rewind(), kind, depth=1)

    def say_unread(self, reason: str) -> None:
        """Note once what could not be read."""
        if reason not in self.outcome.unread:
            self.outcome.unread.append(reason)

    def empty_basket(self) -> None:
        """Search the unpacked values that wait for it."""
        basket, self._basket, self._in_basket = self._basket, [], 0
        ends = list(accumulate(len(value) for value, _, _ in basket))
        for hit in self._patterns.find(b"".join(value for value, _, _ in basket)):
            number = bisect_right(ends, hit.start)
            if hit.end <= ends[number]:
                _, kind, at = basket[number]
                self._note(hit, kind, at)

    def _search_name(self, name: str) -> None:
        for hit in self._patterns.find(os.fsencode(name)):
            self._note(hit, "name", 0)

    def _search_blocks(self, blocks: Iterator[bytes], read_at: ReadAt | None) -> bytes:
        """Search all blocks; return the first bytes. Without read_at, what is cut up is held meanwhile."""
        first = next(blocks, b"")
        every = chain([first], blocks) if first else iter(())
        held, is_log = Held(), wal.is_wal_page(first)
        if is_log:
            pieces, read_at = self._search_log(every, held), held.read_at
        elif read_at is None:
            pieces, read_at = self._search_pages(every, held), held.read_at
        else:
            pieces = self._search_pages(every, None)
        for value in pieces.values(read_at):
            self._put(value.data, "wal" if is_log else "toast", value.at)
        self.outcome.n_beheaded += pieces.count_beheaded()
        if held.is_full:
            self.say_unread("more long values than can be put together in memory")
        return first[:512]

    def _search_pages(self, blocks: Iterable[bytes], held: Held | None) -> Pieces:
        """Search blocks as they stand, and what is packed in their pages; return the pieces seen."""
        pieces, tail, at = Pieces(), b"", 0
        for block in blocks:
            self._search_plain(tail + block, at - len(tail), seen=len(tail))
            tail = (tail + block)[-self._overlap :]
            if pages.has_page(block):
                for place, value in pages.packed_in(block, step=4):
                    self._put(value, pages.kind_of_page_at(block, place // PAGE), at + place)
                if held is None:
                    for piece in pages.pieces_in(block, step=8):
                        pieces.add(piece.value_id, piece.number, at + piece.at, piece.size)
                else:
                    held.take(block, pieces, step=8)
            at += len(block)
            self.outcome.n_read += len(block)
        return pieces

    def _search_plain(self, data: bytes, begin: int, *, seen: int) -> None:
        """Search bytes as they stand; what ends within the first ones was seen with the last block."""
        if not data.strip(b"\0"):
            return
        kind_at = cache(partial(pages.kind_of_page_at, data))
        for hit in self._patterns.find(data):
            if hit.end > seen:
                self._note(hit, kind_at(hit.start // PAGE), begin + hit.start)

    def _search_log(self, blocks: Iterable[bytes], held: Held) -> Pieces:
        """Search a segment of the log: records without pages' headers, and what is packed in them."""
        pieces, at = Pieces(), 0
        for block, following in _with_next(blocks, self._next_segment()):
            own = wal.strip(block)
            log = own.joined(wal.strip(following))
            for hit in self._patterns.find(log.data):
                if hit.start < len(own.data):
                    self._note(hit, "wal", at + hit.start)
            for image in wal.images_in(log):
                if image.at < len(own.data):
                    self._search_image(image, at, pieces, held)
            for place, value in pages.packed_in(log.data, step=1):
                if place < len(own.data):
                    self._put(value, "wal", at + place)
            held.take(own.data, pieces, step=1)
            at += len(block)
            self.outcome.n_read += len(block)
        return pieces

    def _search_image(self, image: wal.Image, at: int, pieces: Pieces, held: Held) -> None:
        if image.content is None:
            self.say_unread("page images packed with zstd, which is not opened here")
            return
        self._put(image.content, "wal", at + image.at)
        for _, value in pages.packed_in(image.content, step=1):
            self._put(value, "wal", at + image.at)
        held.take(image.content, pieces, step=1)

    def _next_segment(self) -> bytes:
        if self._item.following is None:
            return b""
        try:
            with Files([self._item.following]) as files:
                return next(files.blocks(), b"")
        except OSError:
            # It is searched by itself too, and named there.
            return b""

    def _unpack_snapshot(self, file: BinaryIO) -> None:
        data = file.read(MAX_HELD + 1)
        if len(data) > MAX_HELD:
            self.say_unread("a snapshot of Redis too large to unpack: searched as it stands")
            return
        for at, value in redis.packed_in(data):
            self._put(value, "", at)

    def _search_inside(self, file: BinaryIO, kind: str, *, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.say_unread("files within files within files: not searched deeper")
            return
        try:
            for name, member in containers.members_of(file, kind):
                self._search_name(name)
                self._search_member(member, depth=depth)
        except NotSearchedInside as reason:
            self.say_unread(str(reason))
        except TooLarge:
            self.say_unread("unpacks to more than is searched")
        except OSError as error:
            self.say_unread(error.strerror or "damaged: searched as far as it can be unpacked")
        except _DAMAGED:
            self.say_unread("damaged: searched as far as it can be unpacked")

    def _search_member(self, member: BinaryIO, *, depth: int) -> None:
        first = read_full(member, BLOCK)
        kind = containers.kind_of(first[:512])
        if kind in containers.SEQUENTIAL:
            self._search_inside(prefixed(first, member), kind, depth=depth + 1)
        elif kind:
            whole = b"".join(chain([first], blocks_of(member, limit=MAX_HELD)))
            self._search_blocks(iter([whole]), None)
            self._search_inside(io.BytesIO(whole), kind, depth=depth + 1)
        elif first:
            self._search_blocks(chain([first], blocks_of(member, limit=MAX_UNPACKED)), None)

    def _put(self, value: bytes, kind: str, at: int) -> None:
        self._basket.append((value, kind, at))
        self._in_basket += len(value)
        self.outcome.n_unpacked += len(value)
        if self._in_basket >= BASKET:
            self.empty_basket()

    def _note(self, hit: Hit, kind: str, at: int) -> None:
        for canary, form in hit.whose:
            seen = self.outcome.found.setdefault((canary, kind, form), Sighting(0, at))
            seen.count += 1


def _with_next(blocks: Iterable[bytes], last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each block of the log with the beginning of what follows it."""
    for block, following in pairwise(chain(blocks, [last])):
        yield block, following[:FOLLOWED]
