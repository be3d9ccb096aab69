"""Bytes to be searched, block by block: files as they lie, and what comes out of another file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from ambit.scan.pages import PAGE

# Whole pages: none lies in two blocks.
BLOCK = 512 * PAGE
# What is held in memory whole, because one must seek in it.
MAX_HELD = 256 << 20


class TooLarge(Exception):
    """What is inside a file is more than may be searched."""


class Files:
    """One file, or the segments of one relation as if they were one file."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files; raise OSError."""
        self._files: list[BinaryIO] = []
        self._begins: list[int] = []
        try:
            self._files.extend(map(_opened, paths))
        except OSError:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._close()

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes in blocks, the last of a file shorter; raise OSError."""
        at = 0
        self._begins = []
        for file in self._files:
            self._begins.append(at)
            while block := file.read(BLOCK):
                at += len(block)
                yield block

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of what was read before; raise OSError."""
        number = max(n for n, begin in enumerate(self._begins) if begin <= at)
        return os.pread(self._files[number].fileno(), size, at - self._begins[number])

    def rewind(self) -> BinaryIO:
        """Return the first file, at its beginning."""
        self._files[0].seek(0)
        return self._files[0]

    def _close(self) -> None:
        for file in self._files:
            file.close()


def blocks_of(file: BinaryIO, *, limit: int) -> Iterator[bytes]:
    """Yield what comes out of another file in blocks; raise TooLarge past the limit."""
    while block := read_full(file, BLOCK):
        limit -= len(block)
        if limit < 0:
            raise TooLarge
        yield block


def read_full(file: BinaryIO, size: int) -> bytes:
    """Return so many bytes, fewer only where the file ends."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def prefixed(first: bytes, file: BinaryIO) -> BinaryIO:
    """Return a file of which the first bytes were read already."""
    return cast(BinaryIO, _Prefixed(first, file))


class _Prefixed(io.RawIOBase):
    def __init__(self, first: bytes, file: BinaryIO) -> None:
        self._first, self._file = io.BytesIO(first), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._first.read(len(view)) or self._file.read(len(view))
        view[: len(found)] = found
        return len(found)


def _opened(path: Path) -> BinaryIO:
    # Neither through a link that took the file's place, nor waiting for a pipe's other end.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(handle, "rb")
