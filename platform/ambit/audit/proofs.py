"""Proofs for those who keep a checkpoint: this event is in it, this later one begins with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, QuerySet
from django.db.models.lookups import LessThanOrEqual

from ambit.audit.models import Checkpoint, Leaf, Log, Subtree
from ambit.audit.sequence import KEPT_EVERY
from ambit.audit.tree import EMPTY_ROOT, consistency_proof, inclusion_proof, root_of
from ambit.audit.verify import node_hash


class EventNotProved(LookupError):
    """There is no such event, or no checkpoint has it yet."""


class CheckpointNotFound(LookupError):
    """The tenant's log was never signed at this size."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An event's leaf, its number, and the hashes that lead to a checkpoint's root, the lowest first."""

    leaf: Leaf
    checkpoint: Checkpoint
    proof: list[bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """A tenant's log as it stands, and the latest note of it; None where nothing was signed yet."""

    size: int
    root: bytes
    note: str | None


def read_head() -> Head:
    """Return the head of the log of the tenant in scope."""
    log = Log.objects.first()
    if log is None:
        return Head(0, EMPTY_ROOT, None)
    # Not a later one than the log that was read: some may be signed between the two statements.
    signed = Checkpoint.objects.filter(size__lte=log.size).order_by("-size", "at").first()
    root = root_of([bytes(one) for one in log.frontier])
    return Head(log.size, root, signed.note if signed else None)


def prove_event(event_id: UUID, *, size: int | None = None) -> Inclusion:
    """Prove an event of the tenant in scope to be in a checkpoint, the latest where no size is named.

    Raises EventNotProved, CheckpointNotFound.
    """
    leaf = Leaf.objects.filter(pk=event_id).first()
    checkpoint = latest_checkpoint() if size is None else find_checkpoint(size)
    if leaf is None or checkpoint is None or leaf.number >= checkpoint.size:
        raise EventNotProved(str(event_id))
    return Inclusion(leaf, checkpoint, inclusion_proof(leaf.number, checkpoint.size, subtree))


def prove_extension(*, older: int, newer: int) -> list[bytes]:
    """Return the hashes that show one checkpoint to begin with another; raise CheckpointNotFound."""
    first, second = find_checkpoint(older), find_checkpoint(newer)
    if not 1 <= first.size <= second.size:
        raise CheckpointNotFound(f"{older}, {newer}")
    return consistency_proof(first.size, second.size, subtree)


def list_checkpoints(*, after: UUID | None, limit: int) -> list[Checkpoint]:
    """Return checkpoints of the tenant in scope, the latest first, from the one after a cursor."""
    found = Checkpoint.objects.order_by("-size", "at")
    if after is not None:
        found = found.filter(size__lt=Checkpoint.objects.filter(pk=after).values("size")[:1])
    return list(_marked(found)[:limit])


def _marked(found: QuerySet[Checkpoint]) -> QuerySet[Checkpoint]:
    """Say of each whether it stands in the folder of copies."""
    copied = Log.objects.values("copied_size")[:1]
    return found.annotate(copied=LessThanOrEqual(F("size"), copied))


def latest_checkpoint() -> Checkpoint | None:
    """Return the newest checkpoint of the tenant in scope; None where nothing was signed yet."""
    return _marked(Checkpoint.objects.all()).order_by("-size", "at").first()


def note_of(checkpoint_id: UUID) -> str:
    """Return a checkpoint's signed note; raise CheckpointNotFound."""
    note = Checkpoint.objects.filter(pk=checkpoint_id).values_list("note", flat=True).first()
    if note is None:
        raise CheckpointNotFound(str(checkpoint_id))
    return note


def find_checkpoint(size: int) -> Checkpoint:
    """Return the checkpoint of a size; raise CheckpointNotFound."""
    found = _marked(Checkpoint.objects.filter(size=size)).order_by("at").first()
    if found is None:
        raise CheckpointNotFound(str(size))
    return found


def subtree(level: int, index: int) -> bytes:
    """Return the hash of a complete subtree of the tenant in scope; at most 128 rows are read."""
    kept = level - level % KEPT_EVERY
    width = 1 << (level - kept)
    hashes = _kept(kept, index * width, width)
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _kept(level: int, start: int, width: int) -> list[bytes]:
    end = start + width
    found = list(_subtrees(level, start, end) if level else _leaves(start, end))
    if len(found) != width:
        raise RuntimeError(f"the tree lacks hashes of level {level} from {start} on")
    return [bytes(one) for one in found]


def _subtrees(level: int, start: int, end: int) -> Iterable[bytes | memoryview]:
    rows = Subtree.objects.filter(level=level, index__gte=start, index__lt=end)
    return rows.order_by("index").values_list("hash", flat=True)


def _leaves(start: int, end: int) -> Iterable[bytes | memoryview]:
    rows = Leaf.objects.filter(number__gte=start, number__lt=end)
    return rows.order_by("number").values_list("hash", flat=True)
