"""Write, read and remove sealed files.

A file is a header and frames of AES-256-GCM. Each frame is bound to its place, its number and
whether it is the last, so that frames cannot be cut off, reordered or moved between files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from ambit.keys.sealing import CannotOpen, open_sealed, seal

FRAME_BYTES = 1 << 18
LENGTH_BYTES = 4


class FileMissing(LookupError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class FileName:
    """Where a file belongs; kind is "original" or "text"."""

    tenant_id: UUID
    document_id: UUID
    version_id: UUID
    kind: str

    @property
    def path(self) -> Path:
        """Path below the folder of originals."""
        folder = folder_of(tenant_id=self.tenant_id, document_id=self.document_id)
        return folder / f"{self.version_id}.{self.kind}"


def folder_of(*, tenant_id: UUID, document_id: UUID) -> Path:
    """Return the folder of all of a document's files."""
    return Path(settings.AMBIT_ORIGINALS_DIR) / str(tenant_id) / str(document_id)


def write(name: FileName, chunks: Iterable[bytes], *, key: bytes) -> int:
    """Seal and store chunks durably under a name; return the plain size in bytes."""
    path = name.path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        with partial.open("wb") as file:
            size = _write_frames(file, chunks, key=key, place=_place(name))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    _sync(path.parent.parent)
    return size


def read(name: FileName, *, key: bytes) -> Iterator[bytes]:
    """Yield a file's plain bytes; raise FileMissing, or CannotOpen when altered or cut."""
    try:
        file = name.path.open("rb")
    except FileNotFoundError as error:
        raise FileMissing(f"no {name.kind} of version {name.version_id}") from error
    return _read_frames(file, key=key, place=_place(name))


def remove(name: FileName) -> bool:
    """Remove one file; return whether there was one."""
    try:
        name.path.unlink()
    except FileNotFoundError:
        return False
    _sync(name.path.parent)
    return True


def list_files(*, tenant_id: UUID, document_id: UUID) -> list[Path]:
    """Return the paths of all of a document's files, partial ones included."""
    folder = folder_of(tenant_id=tenant_id, document_id=document_id)
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []


def remove_document(*, tenant_id: UUID, document_id: UUID) -> int:
    """Remove a document's folder with every version's files; return how many files there were."""
    files = list_files(tenant_id=tenant_id, document_id=document_id)
    folder = folder_of(tenant_id=tenant_id, document_id=document_id)
    if folder.is_dir():
        shutil.rmtree(folder)
        _sync(folder.parent)
    return len(files)


def _write_frames(file: BinaryIO, chunks: Iterable[bytes], *, key: bytes, place: bytes) -> int:
    size = number = 0
    waiting = bytearray()
    for chunk in chunks:
        size += len(chunk)
        waiting += chunk
        while len(waiting) > FRAME_BYTES:
            _write_frame(file, bytes(waiting[:FRAME_BYTES]), key, place, number, last=False)
            del waiting[:FRAME_BYTES]
            number += 1
    _write_frame(file, bytes(waiting), key, place, number, last=True)
    return size


def _write_frame(
    file: BinaryIO, data: bytes, key: bytes, place: bytes, number: int, *, last: bool
) -> None:
    sealed = seal(key, data, place=_frame_place(place, number, last=last))
    file.write(len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed)


def _read_frames(file: BinaryIO, *, key: bytes, place: bytes) -> Iterator[bytes]:
    with file:
        size = os.fstat(file.fileno()).st_size
        number = 0
        while True:
            length = int.from_bytes(file.read(LENGTH_BYTES), "big")
            sealed = file.read(length)
            if length == 0 or len(sealed) < length:
                raise CannotOpen("a stored file is cut off")
            last = file.tell() == size
            yield open_sealed(key, sealed, place=_frame_place(place, number, last=last))
            number += 1
            if last:
                return


def _place(name: FileName) -> bytes:
    ids = name.tenant_id.bytes + name.document_id.bytes + name.version_id.bytes
    return b"ambit.file.v1|" + ids + b"|" + name.kind.encode()


def _frame_place(place: bytes, number: int, *, last: bool) -> bytes:
    return place + b"|" + number.to_bytes(8, "big") + (b"|last" if last else b"|more")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
