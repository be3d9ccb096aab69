"""The ledger: a file outside the database and its backups, with a line for everything that was destroyed.

Lines are only ever added. Each holds the SHA-256 of the line before, and the database keeps the number and the hash
of each line that it knows: a ledger that was cut, edited or exchanged does not read as the same one. No name, no
address and no content is ever in it: ids and keyed hashes alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from ambit.tombstones.lines import sync_folder, write_line

FILE = "ledger.jsonl"
# begun: the first line, of which every database that uses the ledger knows. tenant: all of a tenant.
Kind = Literal["begun", "case", "document", "tenant"]
# A basis of Art. 17(3) GDPR, "document" or "member", and its id.
Held = tuple[str, str, UUID]


class LedgerUnusable(RuntimeError):
    """The ledger is missing, damaged or cannot be written; the words say which."""


class LedgerDamaged(LedgerUnusable):
    """The ledger is not the one, or not all of the one, that the database knows."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: its number from 1, its SHA-256, and its first and last byte's offsets."""

    number: int
    hash: bytes
    starts_at: int
    ends_at: int


NOWHERE = Place(0, b"", 0, 0)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was destroyed for one reason: a case, a deleted document, or a whole tenant."""

    kind: Kind
    tenant_id: UUID
    # The case, the document or the tenant.
    object_id: UUID
    document_ids: tuple[UUID, ...] = ()
    member_ids: tuple[UUID, ...] = ()
    # Of a case about a person: its own type and keyed hash first, then others that documents declare the person by.
    subjects: tuple[tuple[str, str], ...] = ()
    # What was covered, hidden and kept at the time.
    held: tuple[Held, ...] = ()
    # Saved answers that neither a document nor a member leads to.
    answer_ids: tuple[UUID, ...] = ()
    # Of a case that nobody asked for: it was older than it is kept.
    by_age: bool = False
    # Documents received later are not meant.
    until: datetime | None = None
    # When the line was written; None: it is not yet.
    at: datetime | None = None

    @property
    def covers(self) -> bytes:
        """A hash of what it says is gone or kept: who says the same again says nothing new."""
        said = _fields(self)
        words = {name: said[name] for name in ("kind", "tenant", "object", "documents", "members")}
        words |= {name: said[name] for name in ("answers",) if name in said}
        return hashlib.sha256(_packed(words | {"held": said["held"]})).digest()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger."""

    place: Place
    tombstone: Tombstone


class Ledger:
    """The ledger while nobody else adds to it."""

    def __init__(self, handle: int) -> None:
        """Wrap the open file."""
        self._handle = handle
        self._end = NOWHERE

    def read_after(self, known: Place) -> list[Line]:
        """Return the lines after one that the database knows; raise LedgerDamaged."""
        with os.fdopen(os.dup(self._handle), "rb") as file:
            lines, self._end = _read(file, known)
        return lines

    def add(self, tombstone: Tombstone) -> Place:
        """Add a line behind what was read, durably, and return its place; raise LedgerUnusable."""
        before = self._end
        line = _packed(
            {
                "n": before.number + 1,
                "prev": before.hash.hex(),
                "at": timezone.now().isoformat(),
                **_fields(tombstone),
            }
        )
        try:
            write_line(self._handle, line + b"\n", at=before.ends_at)
        except OSError as error:
            raise LedgerUnusable(f"it cannot be written: {error.strerror}") from error
        ends_at = before.ends_at + len(line) + 1
        self._end = Place(before.number + 1, _hash(line), before.ends_at, ends_at)
        return self._end


def folder() -> Path:
    """Return the folder of the ledger and of the register of backups."""
    return Path(settings.AMBIT_TOMBSTONES_DIR)


def begun() -> Tombstone:
    """Return a first line, by which this ledger is told from any other."""
    nobody = UUID(int=0)
    return Tombstone("begun", nobody, uuid4())


@contextmanager
def opened(*, may_make: bool) -> Iterator[Ledger]:
    """Open the ledger to add to it, and keep others from adding; raise LedgerUnusable.

    may_make: where there is none yet, with its folder and no folder above, so that a disk that is not mounted
    is not mistaken for an empty one.
    """
    try:
        is_new = not (folder() / FILE).exists()
        if is_new and may_make:
            folder().mkdir(mode=0o700, exist_ok=True)
        making = os.O_CREAT if may_make else 0
        # With O_APPEND it may lie where the file system lets nothing else happen to it.
        handle = os.open(folder() / FILE, os.O_RDWR | os.O_APPEND | making, 0o600)
    except FileNotFoundError as error:
        raise LedgerUnusable("it is missing") from error
    except OSError as error:
        raise LedgerUnusable(f"it cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if is_new:
            sync_folder(folder())
            sync_folder(folder().parent)
        yield Ledger(handle)
    except OSError as error:
        raise LedgerUnusable(f"it cannot be used: {error.strerror}") from error
    finally:
        os.close(handle)


def read_after(known: Place) -> list[Line]:
    """Return the lines after one that the database knows, without waiting for who writes.

    With NOWHERE all lines, each compared with the one before. Raises LedgerUnusable where the ledger is
    missing, LedgerDamaged where it is not the one that the database knows.
    """
    try:
        with (folder() / FILE).open("rb") as file:
            return _read(file, known)[0]
    except FileNotFoundError as error:
        if known == NOWHERE:
            return []
        raise LedgerUnusable("it is missing") from error
    except OSError as error:
        raise LedgerUnusable(f"it cannot be read: {error.strerror}") from error


def _read(file: Any, known: Place) -> tuple[list[Line], Place]:
    """Return the lines after a place, and where the last one stands; a torn last line was never added."""
    file.seek(known.starts_at)
    if known != NOWHERE:
        raw = file.read(known.ends_at - known.starts_at)
        if not raw.endswith(b"\n") or _hash(raw[:-1]) != known.hash:
            raise LedgerDamaged(f"its line {known.number} is not the one that the database knows")
    lines, before = [], known
    for raw in file:
        if not raw.endswith(b"\n"):
            break
        line = _line(raw[:-1], before)
        lines.append(line)
        before = line.place
    return lines, before


def _line(raw: bytes, before: Place) -> Line:
    number = before.number + 1
    try:
        said = json.loads(raw)
        if said["n"] != number or said["prev"] != before.hash.hex():
            raise LedgerDamaged(f"its line {number} does not follow from the one before")
        tombstone = Tombstone(
            kind=cast(Kind, str(said["kind"])),
            tenant_id=UUID(said["tenant"]),
            object_id=UUID(said["object"]),
            document_ids=tuple(UUID(one) for one in said["documents"]),
            member_ids=tuple(UUID(one) for one in said["members"]),
            subjects=tuple((str(kind), str(mac)) for kind, mac in said["subjects"]),
            held=tuple((str(basis), str(kind), UUID(one)) for basis, kind, one in said["held"]),
            answer_ids=tuple(UUID(one) for one in said.get("answers", ())),
            by_age=said.get("by_age", False) is True,
            until=datetime.fromisoformat(said["until"]) if said["until"] else None,
            at=datetime.fromisoformat(said["at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerDamaged(f"its line {number} cannot be read") from error
    starts_at = before.ends_at
    return Line(Place(number, _hash(raw), starts_at, starts_at + len(raw) + 1), tombstone)


def _fields(tombstone: Tombstone) -> dict[str, Any]:
    # Said only where there is something to say: lines of before read, and hash, as they did.
    more: dict[str, Any] = {}
    if tombstone.answer_ids:
        more["answers"] = sorted(str(one) for one in tombstone.answer_ids)
    if tombstone.by_age:
        more["by_age"] = True
    return more | {
        "kind": tombstone.kind,
        "tenant": str(tombstone.tenant_id),
        "object": str(tombstone.object_id),
        "documents": sorted(str(one) for one in tombstone.document_ids),
        "members": sorted(str(one) for one in tombstone.member_ids),
        "subjects": [list(one) for one in tombstone.subjects],
        "held": sorted([basis, kind, str(one)] for basis, kind, one in tombstone.held),
        "until": tombstone.until.isoformat() if tombstone.until else None,
    }


def _packed(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()


def _hash(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()
