"""Check receipts of erasures offline: that the log's key signed them, and that the log tells the same.

A receipt is a signed note (C2SP signed-note) of two lines: its format, and one JSON object. No checkpoint begins with
this format and none has two lines, so that neither is ever taken for the other, although one key signs both.

The server hands a receipt out as JSON: what was signed, to be read, and `signed`, the note itself. Only the note is
believed; what stands beside it must say the same. In the log the case's last event says how many receipts the case
had by then, and an event `receipt.written` names each by its hash: a receipt that was written anew later has none.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ambit.audit.verify import (
    Checkpoint,
    Entries,
    Entry,
    Key,
    Tree,
    Unreadable,
    canonical,
    leaf_hash,
    open_note,
    read_note,
)

FORMAT = "ambit-receipt/v1"
SIGNED = "signed"
WRITTEN = "receipt.written"
# The first event of a case, by how it began.
BEGINS = ("erasure.requested", "erasure.received")
# States that a receipt may be written in; the event of each is called so.
ENDS = ("closed", "held", "incomplete", "refused")
# How many receipts a case has by now, among the counts of the event it ended with.
COUNT = "receipts"


@dataclass(frozen=True)
class Receipt:
    """What a receipt says, its signature checked, and the note that says it."""

    place: str
    note: str
    erasure: UUID
    tenant: str
    state: str
    outcome: str
    # What it is about: an identifier's kind, documents, retention or tenant.
    subject: str
    serial: int
    previous: str | None
    written_at: str
    # The log as it was when the receipt was written.
    size: int
    root: bytes
    checkpoint: Checkpoint | None

    @property
    def id(self) -> UUID:
        """What the log calls it."""
        return receipt_id(self.note)


@dataclass
class Findings:
    """What became of checking a receipt: what holds, what does not, what could not be checked."""

    receipt: Receipt
    held: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def fingerprint(note: str) -> str:
    """Return the hash by which the next receipt of a case names this one."""
    return hashlib.sha256(note.encode()).hexdigest()


def receipt_id(note: str) -> UUID:
    """Return a receipt's id: 122 bits of its hash as a UUID of version 8 (RFC 9562)."""
    value = int(fingerprint(note)[:32], 16)
    value = value & ~(0xF << 76) | 0x8 << 76
    return UUID(int=value & ~(0b11 << 62) | 0b10 << 62)


def read_receipt(text: str, key: Key, *, place: str = "") -> Receipt:
    """Return what a receipt says: a note, or the JSON that holds it; raise Unreadable."""
    shown: Any = None
    note = text
    if text.lstrip().startswith("{"):
        shown = _object(text)
        note = shown.pop(SIGNED, None)
        if not isinstance(note, str):
            raise Unreadable("a receipt without what was signed")
    told, _, written = open_note(note, key, what="a receipt").partition("\n")
    if told != FORMAT:
        raise Unreadable("signed, but not a receipt")
    said = _object(written)
    if shown is not None and canonical(shown) != canonical(said):
        raise Unreadable("what is shown is not what was signed")
    try:
        signed = said["log"]["checkpoint"]
        checkpoint = None if signed is None else read_note(signed, key)
        return _receipt(said, checkpoint, note=note, place=place)
    except Unreadable as error:
        raise Unreadable(f"the checkpoint in it: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable("a receipt of another shape") from error


def _receipt(
    said: dict[str, Any], checkpoint: Checkpoint | None, *, note: str, place: str
) -> Receipt:
    log, previous = said["log"], said["previous"]
    if (previous is None) != (said["serial"] == 1) or said["state"] not in ENDS:
        raise ValueError("serial or state")
    return Receipt(
        place=place,
        note=note,
        erasure=UUID(said["erasure"].removeprefix("era_")),
        tenant=str(said["tenant"]),
        state=said["state"],
        outcome=str(said["outcome"]),
        subject=str(said["subject"]["type"]),
        serial=int(said["serial"]),
        previous=previous,
        written_at=str(said["written_at"]),
        size=int(log["size"]),
        root=base64.b64decode(log["root"], validate=True),
        checkpoint=checkpoint,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise Unreadable("a receipt that is no JSON, or names something twice") from error
    if not isinstance(found, dict):
        raise Unreadable("a receipt that is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A reader may see the first of two, a program the last.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


class Watch:
    """What a log says of some receipts and their cases, noted while its lines go by."""

    def __init__(self, receipts: Iterable[Receipt]) -> None:
        self.receipts = list(receipts)
        self._sizes = {r.size for r in self.receipts}
        self._sizes |= {r.checkpoint.size for r in self.receipts if r.checkpoint}
        self.log: str | None = None
        self.roots: dict[int, bytes] = {}
        self.begins: dict[str, int] = {}
        # By case and number of receipts: the event's number and action.
        self.ends: dict[tuple[str, int], tuple[int, str]] = {}
        self.written: dict[str, int] = {}
        # Of events whose values were erased nobody can tell which case they are of.
        self.hidden: list[int] = []
        self._tree = Tree()
        self._keep_root()

    def along(self, lines: Entries) -> Iterator[Entry]:
        """Yield the lines as they come."""
        for line in lines:
            # Each leaf is hashed a second time here: not for nothing.
            if self.receipts:
                self._note(line)
            yield line

    @property
    def size(self) -> int:
        """How many events there were."""
        return self._tree.size

    def newest(self, erasure: str) -> int:
        """Return how many receipts the log knows of a case."""
        return max((n for case, n in self.ends if case == erasure), default=0)

    def _note(self, line: Entry) -> None:
        entry, what = line["entry"], line.get("what")
        self.log = self.log or str(entry.get("log"))
        action, number = str(entry.get("action")), self._tree.size
        self._tree.add(leaf_hash(entry))
        self._keep_root()
        if not action.startswith(("erasure.", "receipt.")):
            return
        if not isinstance(what, dict) or not isinstance(what.get("value"), dict):
            self.hidden.append(number)
            return
        object_id = str(what["value"].get("object_id"))
        if action in BEGINS:
            self.begins.setdefault(object_id, number)
        elif action == WRITTEN:
            self.written.setdefault(object_id, number)
        elif action.removeprefix("erasure.") in ENDS and (n := _count(entry)) is not None:
            self.ends.setdefault((object_id, n), (number, action))

    def _keep_root(self) -> None:
        if self._tree.size in self._sizes:
            self.roots[self._tree.size] = self._tree.root()


def _count(entry: Entry) -> int | None:
    # An entry holds its counts as text.
    try:
        found = json.loads(str(entry.get("counts")))[COUNT]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, int) else None


def check_receipts(
    watch: Watch, key: Key, *, n_signed: int, n_unnumbered: int = 0
) -> list[Findings]:
    """Check receipts against the log that was watched, of which so many events are signed; some have no number yet."""
    found = []
    for receipt in watch.receipts:
        one = Findings(receipt)
        one.held.append(f"signed by {key.name}, key {key.key_id.hex()}")
        if watch.log is None:
            one.unchecked.append("there is no log here to hold it against")
        elif watch.log != f"ambit/{receipt.tenant}":
            one.faults.append(f"it is of ambit/{receipt.tenant}, the log of {watch.log}")
        else:
            _check_log(one, watch)
            _check_events(one, watch, n_signed, n_unnumbered)
            _check_order(one, watch)
        found.append(one)
    return found


def _check_log(one: Findings, watch: Watch) -> None:
    receipt, signed = one.receipt, one.receipt.checkpoint
    root = watch.roots.get(receipt.size)
    if root is None:
        one.unchecked.append(f"the export ends before the {receipt.size} events that it names")
    elif root != receipt.root:
        one.faults.append(f"the first {receipt.size} events were others when it was written")
    else:
        one.held.append(f"the log had the same first {receipt.size} events when it was written")
    if signed is None:
        return
    if signed.origin != watch.log or signed.size > receipt.size:
        one.faults.append("the checkpoint in it is of another log")
    elif watch.roots.get(signed.size, signed.root) != signed.root:
        one.faults.append(f"the checkpoint in it: the first {signed.size} events were others")


def _check_events(one: Findings, watch: Watch, n_signed: int, n_unnumbered: int) -> None:
    receipt, case = one.receipt, str(one.receipt.erasure)
    begun = watch.begins.get(case)
    ended, action = watch.ends.get((case, receipt.serial), (None, ""))
    named = watch.written.get(str(receipt.id))
    if begun is None or ended is None or named is None:
        told = {
            "that the erasure was asked for": begun,
            f"that it ended as {receipt.state}": ended,
            "that this receipt was written": named,
        }
        missing = [words for words, number in told.items() if number is None]
        # What closed it gets its numbers seconds after it was written; what asked for it had one by then.
        is_early = begun is not None and (n_unnumbered > 0 or watch.size <= receipt.size)
        _say_missing(one, watch, missing, is_early=is_early)
        return
    first, last = min(ended, named), max(ended, named)
    if action != f"erasure.{receipt.state}":
        one.faults.append(f"it says {receipt.state}, event {ended} of the log {action}")
    elif begun >= first:
        one.faults.append(f"event {begun} asks for what had ended with event {first}")
    elif first < receipt.size:
        one.faults.append(f"event {first} tells of it, and stands before it was written")
    else:
        one.held.append(f"the log has it asked for (event {begun}) and {action} (event {ended})")
        one.held.append(f"the log names this very receipt (event {named})")
    if last >= n_signed:
        one.unchecked.append("its last events are in no checkpoint yet: export again in a minute")


def _say_missing(one: Findings, watch: Watch, missing: Sequence[str], *, is_early: bool) -> None:
    words = f"the log does not say {', nor '.join(missing)}"
    if one.receipt.size not in watch.roots:
        one.unchecked.append(f"{words}: bring a later export")
    elif is_early:
        one.unchecked.append(f"{words}: this may have no number yet, export again in a minute")
    elif watch.hidden:
        one.unchecked.append(f"{words}; the values of {len(watch.hidden)} such events were erased")
    else:
        one.faults.append(words)


def _check_order(one: Findings, watch: Watch) -> None:
    receipt = one.receipt
    beside = {r.serial: r for r in watch.receipts if r.erasure == receipt.erasure}
    before, newest = beside.get(receipt.serial - 1), watch.newest(str(receipt.erasure))
    if before is not None and receipt.previous != fingerprint(before.note):
        one.faults.append(f"the receipt that it follows is not {before.place}")
    if newest > receipt.serial and newest not in beside:
        one.faults.append(f"it is receipt {receipt.serial} of {newest}: a later one was written")
    elif newest > receipt.serial:
        one.held.append(f"receipt {newest} of the case came after it, and is here too")
    elif any(number >= receipt.size for number in watch.hidden):
        one.unchecked.append("whether a later one was written: values of later events were erased")
    else:
        one.held.append("no later receipt of the case is in this log")
