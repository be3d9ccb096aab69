"""Check a tenant's audit trail offline; verifier.py is the program, receipts.py checks receipts against the trail.

These three stand alone: they need Python 3.11 and the `cryptography` package, nothing else of Ambit, no server and no
network.

FOLDER is an export, unpacked. events.jsonl has one JSON object a line, in the order of their numbers: its `entry` is
what the tree's leaf is made of; `who` and `what` are the values behind the entry's commitments, each with its salt,
or null where erased. unnumbered.jsonl has what
is not in the tree yet. *.notes are signed checkpoints, three line ends after each. key.txt is the log's public key:
name+id+key (C2SP signed-note).

What comes with the export shows it to be whole in itself. That nobody wrote it anew, with the log's own key, is
shown by checkpoints that were kept elsewhere (--checkpoints) and by a key noted before (--key).

The tree is that of RFC 9162 (SHA-256), the notes those of C2SP tlog-checkpoint, the signatures Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
KEY_ID_BYTES = 4
SIGNED_BY = "\u2014 "
LONGEST_TRANSACTION = timedelta(hours=1)
CLOCK_SKEW = timedelta(minutes=5)
# What stands between two notes of a file.
NOTE_END = "\n\n\n"
# Objects of the export, and names and texts of files of notes.
Entry = dict[str, Any]
Entries = Iterable[Entry]
Notes = Iterable[tuple[str, str]]


class Unreadable(ValueError):
    """A file is not what it should be."""


class InvalidProof(ValueError):
    """A proof does not lead from what it is about to the root it is for."""


@dataclass(frozen=True)
class Key:
    """A log's public key."""

    name: str
    key_id: bytes
    public: Ed25519PublicKey
    text: str

    @classmethod
    def read(cls, text: str) -> Key:
        """Read name+id+key; raise Unreadable."""
        try:
            name, told_id, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            public = Ed25519PublicKey.from_public_bytes(raw[1:])
        except ValueError as error:
            raise Unreadable("the key is not name+id+key") from error
        key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:KEY_ID_BYTES]
        if not name or raw[:1] != ED25519 or told_id != key_id.hex():
            raise Unreadable("the key's id is not its own")
        return cls(name, key_id, public, text.strip())


@dataclass(frozen=True)
class Checkpoint:
    """What a log signed: at a time it had so many events, the newest of another time, with this root."""

    origin: str
    size: int
    root: bytes
    at: datetime
    newest: datetime
    place: str = ""


Met = Checkpoint | None


@dataclass
class Report:
    """What was checked, and what does not hold."""

    n_events: int = 0
    n_signed: int = 0
    n_unnumbered: int = 0
    n_erased: int = 0
    erased_until: str = ""
    values_since: datetime | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_note(text: str, key: Key, *, place: str = "") -> Checkpoint:
    """Return what a note says, its signature checked; raise Unreadable."""
    body = open_note(text, key, what="a checkpoint")
    try:
        origin, size, root, at, newest = body.splitlines()
        times = _time(at.removeprefix("time ")), _time(newest.removeprefix("newest "))
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True), *times, place)
    except (ValueError, OverflowError) as error:
        raise Unreadable("a checkpoint of another shape") from error
    return found


def open_note(text: str, key: Key, *, what: str) -> str:
    """Return what a note of the log's key says, without its last line end; raise Unreadable."""
    body, mark, signatures = text.partition(f"\n\n{SIGNED_BY}")
    if not mark:
        raise Unreadable(f"{what} without a signature")
    if not any(_signed(line, f"{body}\n", key) for line in signatures.splitlines()):
        raise Unreadable(f"no signature of {key.name} holds")
    return body


def _signed(line: str, body: str, key: Key) -> bool:
    name, _, encoded = line.removeprefix(SIGNED_BY).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
        key.public.verify(raw[KEY_ID_BYTES:], body.encode())
    except (ValueError, InvalidSignature):
        return False
    return name == key.name and raw[:KEY_ID_BYTES] == key.key_id


def _time(text: str) -> datetime:
    # Naive times are taken as UTC, so that any two can be compared.
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def leaf_hash(entry: Entry) -> bytes:
    """Return the hash of an event's entry."""
    return hashlib.sha256(b"\x00" + canonical(entry)).digest()


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def commitment(salt: bytes, value: Any) -> str:
    """Return what an entry says of a value that it does not show."""
    return hmac.digest(salt, canonical(value), "sha256").hex()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows by leaves and knows its root."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Add a leaf."""
        size, found = self.size, leaf
        while size & 1:
            found, size = node_hash(self._subtrees.pop(), found), size >> 1
        self._subtrees.append(found)
        self.size += 1

    def root(self) -> bytes:
        """Return the root."""
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        return reduce(lambda right, left: node_hash(left, right), reversed(self._subtrees))


def check_inclusion(
    leaf: bytes, *, number: int, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise InvalidProof unless the leaf stands at that number in the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= number < size:
        raise InvalidProof(f"a tree of {size} has no leaf {number}")
    at, last, found = number, size - 1, leaf
    for step in proof:
        if last == 0:
            raise InvalidProof("the proof is too long")
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise InvalidProof(f"leaf {number} is not in the tree of {size}")


def check_consistency(
    *, older: int, older_root: bytes, newer: int, newer_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise InvalidProof unless the newer tree begins with the older one (RFC 9162, 2.1.4.2)."""
    if not 0 < older <= newer:
        raise InvalidProof(f"a tree of {newer} does not extend one of {older}")
    if older == newer:
        if proof or older_root != newer_root:
            raise InvalidProof("two trees of one size differ")
        return
    steps = list(proof) if older & (older - 1) else [older_root, *proof]
    if not steps:
        raise InvalidProof("the proof is too short")
    at, last = older - 1, newer - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    found_older = found_newer = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise InvalidProof("the proof is too long")
        if at & 1 or at == last:
            found_older, found_newer = node_hash(step, found_older), node_hash(step, found_newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found_newer = node_hash(found_newer, step)
        at, last = at >> 1, last >> 1
    if last or found_older != older_root or found_newer != newer_root:
        raise InvalidProof(f"the tree of {newer} does not begin with the tree of {older}")


def check_trail(events: Path, notes: Sequence[Path], key: Key) -> Report:
    """Check an export against files of checkpoints, or folders of *.notes; raise Unreadable."""
    return check_events(
        read_lines(events), read_notes(notes), key, unnumbered=unnumbered_of(events)
    )


def read_notes(paths: Sequence[Path]) -> Notes:
    """Return names and texts of files of checkpoints; of a folder its *.notes."""
    files = (f for p in paths for f in (sorted(p.glob("*.notes")) if p.is_dir() else [p]))
    return [(file.name, file.read_text(errors="replace")) for file in files]


def unnumbered_of(events: Path) -> Entries:
    """Return what an export has that is not in its tree."""
    path = events.with_name("unnumbered.jsonl")
    return read_lines(path) if path.exists() else ()


def check_events(
    lines: Entries,
    kept: Notes,
    key: Key,
    unnumbered: Entries = (),
    values_since: datetime | None = None,
) -> Report:
    """Check the lines of an export against what was kept; values_since: from when on none may be erased."""
    report = Report(values_since=values_since)
    report.checkpoints = _checkpoints(kept, key, report)
    if not report.checkpoints:
        report.faults.append("there is no checkpoint: nothing shows the events to be whole")
        return report
    tree, waiting, met = Tree(), list(report.checkpoints), None
    for line in lines:
        entry = _entry(line, tree.size, report.checkpoints[0].origin, report)
        _dated(entry, met, waiting[0] if waiting else None, report)
        tree.add(leaf_hash(entry))
        while waiting and waiting[0].size == tree.size:
            met = waiting.pop(0)
            report.n_signed = tree.size
            if met.root != tree.root():
                report.faults.append(f"{met.place}: the first {tree.size} events were others")
    report.n_events = tree.size
    for missed in waiting:
        report.faults.append(f"{missed.place}: {missed.size} events were signed, not {tree.size}")
    for report.n_unnumbered, line in enumerate(unnumbered, start=1):
        # A number is a matter of seconds: what is old and has none was put past the log.
        if _when(line["entry"]) < report.checkpoints[-1].at - LONGEST_TRANSACTION:
            report.faults.append(f"event {line['entry'].get('id')} is old and has no number")
    return report


def _checkpoints(kept: Notes, key: Key, report: Report) -> list[Checkpoint]:
    found: dict[str, Checkpoint] = {}
    broken: list[tuple[str, str]] = []
    for place, content in kept:
        for text in filter(None, (part.strip("\n") for part in content.split(NOTE_END))):
            try:
                found.setdefault(text, read_note(f"{text}\n", key, place=place))
            except Unreadable as error:
                broken.append((text, f"{place}: {error}"))
    # A writer that was killed in the middle of a note wrote it again, whole.
    report.faults += [f for text, f in broken if not any(one.startswith(text) for one in found)]
    return _in_order(list(found.values()), report)


def _in_order(found: list[Checkpoint], report: Report) -> list[Checkpoint]:
    found.sort(key=lambda c: (c.size, c.at))
    for one, other in pairwise(found):
        if one.origin != other.origin:
            report.faults.append(f"{other.place}: of {other.origin}, others are of {one.origin}")
        if one.size == other.size and one.root != other.root:
            places = f"{one.place} and {other.place}"
            report.faults.append(f"{places}: two trees of {one.size} events were signed")
        if one.at > other.at + CLOCK_SKEW:
            report.faults.append(f"{other.place}: {other.size} events signed before {one.size}")
    return found


def read_lines(events: Path) -> Iterator[Entry]:
    """Yield the lines of an export; raise Unreadable."""
    with events.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            try:
                found = json.loads(line)
            except ValueError as error:
                raise Unreadable(f"line {number + 1} is no JSON") from error
            if not isinstance(found, dict) or not isinstance(found.get("entry"), dict):
                raise Unreadable(f"line {number + 1} has no entry")
            yield found


def _entry(line: Entry, number: int, origin: str, report: Report) -> Entry:
    entry: Entry = line["entry"]
    if entry.get("number") != number:
        report.faults.append(f"event {number} is missing: event {entry.get('number')} stands there")
    if entry.get("log") != origin:
        report.faults.append(f"event {number} is of {entry.get('log')}, not of {origin}")
    for part in ("who", "what"):
        shown = line.get(part)
        if shown is None:
            report.n_erased += 1
            report.erased_until = max(report.erased_until, str(entry.get("at")))
            if report.values_since and _when(entry) >= report.values_since:
                report.faults.append(f"event {number}: {part} was erased before its time")
        elif not _is_behind(shown, entry.get(part)):
            report.faults.append(f"event {number}: {part} is not what was committed to")
    return entry


def _is_behind(shown: Any, committed: Any) -> bool:
    try:
        found = commitment(bytes.fromhex(shown["salt"]), shown["value"])
        return isinstance(committed, str) and hmac.compare_digest(found, committed)
    except (TypeError, KeyError, ValueError):
        return False


def _dated(entry: Entry, earlier: Met, later: Met, report: Report) -> None:
    at, number = _when(entry), entry.get("number")
    if later and at > later.at + CLOCK_SKEW:
        report.faults.append(f"event {number} is dated after the checkpoint that has it")
    # Not the time of signing: what waited for its signature for days is none the worse.
    if earlier and at < earlier.newest - LONGEST_TRANSACTION:
        report.faults.append(f"event {number} is dated long before others that came before it")


def _when(entry: Entry) -> datetime:
    try:
        return _time(str(entry.get("at")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
