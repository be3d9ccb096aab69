"""All histories of a small world: two tenants, three members, two groups, two documents.

A history is a word over LETTERS. Two histories that end in the same state have the same futures: a
letter reads and writes nothing but the tenant's rows, the check reads nothing but these rows and the
model, and the fingerprint is made of both (names instead of ids; of the rows that only record, such
as audit events and jobs, nothing is read by any letter or check). So it is enough to check each
distinct state once, and to append each letter once to each state that a shorter history reaches:
that covers every history. A state that differs in any row of permissions, though the model does not
tell it apart, is another state.

States are taken by length, each is reached again along the first history that led to it, and every
letter is tried in a savepoint and undone, so that nothing is ever committed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from copy import deepcopy
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from ambit.access import documents as access
from ambit.access import services as access_services
from ambit.access.clearance import clearance_for, readers_of
from ambit.corpus import services as corpus
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.types import SubjectRef, Upload
from ambit.erasure.services import request_erasure
from tenants import services
from tenants.ids import public_id
from tenants.scope import audience_scope, set_local
from tests.histories.doors import see_with
from tests.histories.fingerprint import rows_of_permissions
from tests.histories.model import EVERYBODY, READER, Document, Grants
from tests.histories.town import Town
from tests.histories.work import ingest_newest, text_of

Path = tuple[int, ...]
# The fingerprint at the end of each path, and those that one more letter leads to.
Visits = Callable[[Sequence[Path], bool], Iterable[tuple[bytes, list[bytes]]]]


@dataclass(frozen=True)
class Letter:
    """Something that may happen; refused, it changes nothing."""

    words: str
    do: Callable[[Town], None]


@dataclass(frozen=True)
class Explored:
    """How much was seen."""

    length: int
    histories: int
    states: int
    letters_tried: int


class SmallWorld:
    """The world as it is before any history, committed once."""

    def __init__(self, letters: Sequence[Letter] = ()) -> None:
        self.letters = letters or LETTERS
        self.town = town = Town(("ann", "bea"))
        for name, about in (("d1", frozenset[str]()), ("d2", frozenset({"bea"}))):
            town.place(name, "ca", by="ann", about=about)
        town.set_collection("ca", {})
        self._start, self._given = deepcopy(town.world), list(town.script)

    def visit(self, path: Path, *, further: bool) -> tuple[bytes, list[bytes]]:
        """Check the state at a history's end; return its fingerprint and, further, its successors'."""
        with self._undone():
            for number in path:
                self._append(number)
            own = self._fingerprint()
            self._check()
            return own, [self._after(n) for n in range(len(self.letters))] if further else []

    @contextmanager
    def _undone(self) -> Iterator[None]:
        town = self.town
        town.world, town.script = deepcopy(self._start), list(self._given)
        with town.in_tenant("a"):
            yield
            transaction.set_rollback(True)

    def _append(self, number: int) -> None:
        letter, before = self.letters[number], deepcopy(self.town.world)
        self.town.script.append(letter.words)
        try:
            with transaction.atomic():
                letter.do(self.town)
        except (LookupError, services.GroupCycle):
            self.town.world = before

    def _after(self, number: int) -> bytes:
        before, script = self.town.world, list(self.town.script)
        self.town.world = deepcopy(before)
        point = transaction.savepoint()
        self._append(number)
        found = self._fingerprint()
        transaction.savepoint_rollback(point)
        self.town.world, self.town.script = before, script
        return found

    def _fingerprint(self) -> bytes:
        world = self.town.world
        model = (
            sorted(world.suspended),
            sorted(world.erased),
            sorted(world.keys),
            sorted((g, sorted(has)) for g, has in world.inside.items()),
            sorted((c, t, sorted(g.items())) for c, (t, g) in world.collections.items()),
            sorted(map(str, world.documents.items())),
        )
        return hashlib.sha256(repr((model, rows_of_permissions(self.town))).encode()).digest()

    def _check(self) -> None:
        town = self.town
        for member in ("ann", "bea"):
            see_with(town, member, clearance_for(member_id=town.uuid(member)))
        audiences = set()
        for name, one in town.world.documents.items():
            record = get_document_as_custodian(document_id=town.uuid(name))
            audiences.add(record.audience_id)
            if not one.hidden:
                readers = {
                    public_id("member", m) for m in readers_of(audience_id=record.audience_id)
                }
                may = {m for m in ("ann", "bea") if town.world.may_see(m, name)}
                town.compare(name, "readers", {town.name_of(r) for r in readers}, may)
        self._in_the_other_tenant(lambda: self._check_bob(audiences))

    def _check_bob(self, stolen: Iterable[UUID]) -> None:
        """Bob, in the same transaction, sees nothing, not even with audiences that are not his."""
        town = self.town
        see_with(town, "bob", clearance_for(member_id=town.uuid("bob")))
        with audience_scope(stolen), connection.cursor() as cursor:
            # No tenant is named: what keeps them apart here is the policy alone.
            cursor.execute("SELECT id FROM corpus_document")
            seen = {town.name_of(public_id("document", row[0])) for row in cursor.fetchall()}
        town.refuse_more(seen, set(), "bob by audiences that are not his")

    def _in_the_other_tenant(self, do: Callable[[], None]) -> None:
        def there() -> None:
            with self.town.in_tenant("b"):
                do()

        Context().run(there)
        set_local("tenant_id", str(self.town.tenant_ids["a"]))


def explore(length: int, visit_all: Visits) -> Explored:
    """Check every state that histories of up to this length reach; the first is the world's start."""
    first: list[Path] = [()]
    seen, n_states, n_tried, n_letters = set[bytes](), 0, 0, 0
    for depth in range(length + 1):
        later: list[Path] = []
        for path, (own, after) in zip(first, visit_all(first, depth < length), strict=True):
            seen.add(own)
            n_states, n_tried = n_states + 1, n_tried + len(after)
            n_letters = max(n_letters, len(after))
            for number, state in enumerate(after):
                if state not in seen:
                    seen.add(state)
                    later.append((*path, number))
        first = later
    histories = sum(n_letters**n for n in range(length + 1))
    return Explored(length, histories, n_states, n_tried)


def alone(world: SmallWorld) -> Visits:
    """Return a way to visit paths one after the other."""
    return lambda paths, further: (world.visit(path, further=further) for path in paths)


def _put_in(group: str, name: str) -> Letter:
    def do(town: Town) -> None:
        if name in town.world.inside:
            services.nest_group(parent_id=town.uuid(group), child_id=town.uuid(name))
        else:
            services.add_to_group(group_id=town.uuid(group), member_id=town.uuid(name))
        town.world.inside[group].add(name)

    return Letter(f"put {name} in {group}", do)


def _take_out(group: str, name: str) -> Letter:
    def do(town: Town) -> None:
        if name in town.world.inside:
            services.unnest_group(parent_id=town.uuid(group), child_id=town.uuid(name))
        else:
            services.remove_from_group(group_id=town.uuid(group), member_id=town.uuid(name))
        town.world.inside[group].discard(name)

    return Letter(f"take {name} out of {group}", do)


def _suspend(name: str, *, suspended: bool) -> Letter:
    def do(town: Town) -> None:
        services.set_member_suspended(member_id=town.uuid(name), suspended=suspended)
        (town.world.suspended.add if suspended else town.world.suspended.discard)(name)

    return Letter(f"{'suspend' if suspended else 'resume'} {name}", do)


def _set_collection(grants: Grants) -> Letter:
    def do(town: Town) -> None:
        access_services.set_collection_grants(
            collection_id=town.uuid("ca"), grants=town.specs(grants)
        )
        town.world.collections["ca"] = ("a", grants)

    return Letter(f"ca is read by {[*grants]}", do)


def _share(document: str, grants: Grants | None) -> Letter:
    def do(town: Town) -> None:
        record = get_document_as_custodian(document_id=town.uuid(document))
        access.write_grants(document=record, grants=None if grants is None else town.specs(grants))
        town.world.documents[document].own = grants

    who = "those of ca" if grants is None else [*grants]
    return Letter(f"{document} is read by {who}", do)


def _delete(document: str) -> Letter:
    def do(town: Town) -> None:
        corpus.delete_document(document_id=town.uuid(document))
        town.world.documents[document].hidden = True

    return Letter(f"delete {document}", do)


def _put_content(document: str) -> Letter:
    def do(town: Town) -> None:
        one = town.world.documents[document]
        text = text_of(document, one.latest + 1)
        upload = Upload(document, "text.txt", "text/plain", [text.encode()])
        corpus.receive_version(document_id=town.uuid(document), upload=upload)
        ingest_newest(town.tenant_ids["a"])
        one.latest = one.found = one.latest + 1

    return Letter(f"a new version of {document}", do)


def _erase_bea(town: Town) -> None:
    subject = SubjectRef("member", str(town.uuid("bea")))
    request_erasure(subject=subject, document_ids=None, reason="asked to", dry_run=False)
    world = town.world
    world.suspended.add("bea")
    world.erased.add("bea")
    world.keys = {k: m for k, m in world.keys.items() if m != "bea"}
    world.documents = {d: _after_erasure(one) for d, one in world.documents.items()}


def _after_erasure(one: Document) -> Document:
    one.hidden |= "bea" in one.about
    return one


_IN = [(g, n) for g in ("g1", "g2") for n in ("ann", "bea", "g1", "g2") if g != n]
_COLLECTION: list[Grants] = [{n: READER} for n in ("ann", "g1", "g2", EVERYBODY)]
_OWN: list[Grants | None] = [None, {"bea": READER}, {"g1": READER}]
LETTERS = [
    *itertools.starmap(_put_in, _IN),
    *itertools.starmap(_take_out, _IN),
    *(_suspend(name, suspended=s) for name in ("ann", "bea") for s in (True, False)),
    *map(_set_collection, [{}, *_COLLECTION]),
    *(_share(d, own) for d in ("d1", "d2") for own in _OWN),
    *map(_delete, ("d1", "d2")),
    _put_content("d1"),
    Letter("erase bea", _erase_bea),
]
