"""Look into files that hold others or are packed themselves: gzip, bzip2, xz, zip, tar, pg_dump's own."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

# Packed in a way that nothing here unpacks.
CLOSED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"age-encryption.org": "age",
    b"-----BEGIN PGP MESSAGE": "PGP",
}
_DUMP = b"PGDMP"
_DUMP_METHODS = {2: "lz4", 3: "zstd"}
# A length of pg_dump (a sign and four bytes), and after it the first two bytes of a zlib stream.
_STREAM = re.compile(rb"(?s)\x00(.{4})(?=\x78[\x01\x5e\x9c\xda])")
_MOST_OF_PART, _WINDOW = 1 << 24, 4 << 20


class NotSearchedInside(Exception):
    """A file is packed in a way that cannot be opened here; the text says which."""


def kind_of(head: bytes) -> str:
    """Return what a file holds by how it begins; empty for one that is searched as it stands."""
    for magic, name in CLOSED.items():
        if head.startswith(magic):
            return name
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(_DUMP):
        return "dump"
    return "tar" if head[257:262] == b"ustar" else ""


# To be read from the beginning to the end, once.
SEQUENTIAL = {"gzip", "bzip2", "xz", "tar"}


def members_of(file: BinaryIO, kind: str) -> Iterator[tuple[str, BinaryIO]]:
    """Yield names and what is inside, each to be read before the next; raise NotSearchedInside.

    Raises the errors of a damaged file too: OSError, EOFError, zlib.error, lzma.LZMAError, those of
    tarfile and zipfile.
    """
    if kind in CLOSED.values():
        raise NotSearchedInside(f"packed as {kind}, which is not opened here")
    if kind == "gzip":
        with gzip.open(file) as opened:
            yield "", cast(BinaryIO, opened)
    elif kind == "bzip2":
        with bz2.open(file) as unpacking:
            yield "", cast(BinaryIO, unpacking)
    elif kind == "xz":
        with lzma.open(file) as unpacked:
            yield "", cast(BinaryIO, unpacked)
    elif kind == "zip":
        yield from _zip(file)
    elif kind == "tar":
        yield from _tar(file)
    elif kind == "dump":
        yield from _dump(file)


def _zip(file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise NotSearchedInside("a zip archive that is encrypted")
            with archive.open(member) as opened:
                yield member.filename, cast(BinaryIO, opened)


def _tar(file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is not None:
                yield member.name, cast(BinaryIO, opened)


def _dump(file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the tables' data of `pg_dump -Fc`: zlib streams, each cut into parts that say their size."""
    head = file.read(12)
    method = head[11] if head[6] >= 15 else 1
    if method in _DUMP_METHODS:
        raise NotSearchedInside(
            f"a dump packed as {_DUMP_METHODS[method]}, which is not opened here"
        )
    at = 0
    while True:
        file.seek(at)
        window = file.read(_WINDOW)
        match = _STREAM.search(window)
        if match is None:
            if len(window) < _WINDOW:
                return
            at += _WINDOW - 8
            continue
        at += match.start()
        stream = _Stream(file, at)
        yield "", cast(BinaryIO, io.BufferedReader(stream))
        at = max(stream.at, at + 1)


class _Stream(io.RawIOBase):
    """One zlib stream of a dump, put together from its parts; empty where it only looked like one."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self._file, self.at = file, at
        self._unpack = zlib.decompressobj()
        self._began = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._part()
            if not packed:
                break
            try:
                found = self._unpack.decompress(packed, len(view))
            except zlib.error:
                if self._began:
                    raise
                break
            if found:
                self._began = True
                view[: len(found)] = found
                return len(found)
        return 0

    def _part(self) -> bytes:
        self._file.seek(self.at)
        head = self._file.read(5)
        size = int.from_bytes(head[1:], "little")
        if len(head) < 5 or head[0] or not 0 < size <= _MOST_OF_PART:
            if self._began:
                raise EOFError("a dump that is cut off")
            return b""
        self.at += 5 + size
        return self._file.read(size)
