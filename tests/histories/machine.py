"""Random histories: Hypothesis draws the deeds, and after each of them everyone asks for everything.

After each deed every member asks as the API does beneath its views (clearance, search, list), open
transactions ask again, and by turns Bob in the other tenant or one member by a door of the API; at
a history's end everyone asks by one door, and in one history of eight by every door. The deeds are
drawn from few names, so that they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.browser.desk import signed_in
from tests.cast import Api, Place
from tests.database.readers import broken_promises
from tests.histories import doors
from tests.histories.model import EDITOR, EVERYBODY, OWNER, READER, Grants
from tests.histories.sessions import Session
from tests.histories.town import Town

T = TypeVar("T")
SHARES = st.sampled_from([READER, READER, EDITOR, OWNER])
MOST_DOCUMENTS = 4
# Of so many histories one opens the dear doors: administrators' pages, and answers.
DEAR = 32
CHEAP = ("content", "search", "one", "list", "custodian")


# Typed for rules with targets, which need the name of none here.
any_rule: Callable[..., Any] = rule


def deed(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Make a method a rule, in force where the machine names no deeds or names this one."""

    def add(method: Callable[..., None]) -> Any:
        named = precondition(lambda self: not self.deeds or method.__name__ in self.deeds)
        return named(any_rule(**strategies)(method))

    return add


@dataclass
class Tally:
    """What was done until now."""

    histories: int = 0
    deeds: int = 0


class Histories(RuleBasedStateMachine):
    """One history."""

    tally: ClassVar[Tally] = Tally()
    # Answers need the embedding service.
    answers: ClassVar[bool] = False
    # Of so many histories one ends with everyone at every door.
    thorough: ClassVar[int] = 8
    # The deeds to draw from; none named: all.
    deeds: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.town = Town()
        self.sessions: list[Session] = []
        self.turn = 0
        self.tally.histories += 1

    @initialize(turn=st.integers(0, 4 * DEAR - 1), shared=st.booleans())
    def begin(self, turn: int, *, shared: bool) -> None:
        """Begin with a document in each tenant; the first with grants of its own, or its collection's."""
        self.turn = turn
        own = {"ann": OWNER, "g2": READER} if shared else None
        self.town.place("d1", "ca", by="ann", own=own, about=frozenset({"bea"}))
        self.town.place("e1", "cb", by="bob")
        self.town.put_in("g1", "bea")

    # The directory

    @deed(data=st.data())
    def put_in(self, data: st.DataObject) -> None:
        """Put somebody or a group into a group."""
        name = self._one(data, [*self._people(), *self._groups()])
        self.town.put_in(self._one(data, self._groups()), name)

    @deed(data=st.data())
    @precondition(lambda self: any(self.town.world.inside.values()))
    def take_out(self, data: st.DataObject) -> None:
        """Take somebody or a group out of a group it is in."""
        pairs = [(g, n) for g, has in self.town.world.inside.items() for n in sorted(has)]
        if pairs := [p for p in pairs if p[1] not in self._erased()]:
            self.town.take_out(*self._one(data, pairs))

    @deed(data=st.data())
    def suspend_or_resume(self, data: st.DataObject) -> None:
        """Suspend a member, or let it back."""
        name = self._one(data, self._people())
        self.town.suspend(name, suspended=name not in self.town.world.suspended)

    @deed(data=st.data())
    def make_or_revoke_key(self, data: st.DataObject) -> None:
        """Revoke a key, or make one for whom has none."""
        key = self._one(data, sorted(self.town.own))
        owner = key.partition("'")[0]
        if key in self.town.world.keys:
            self.town.revoke_key(key)
        elif owner not in self._erased() and owner not in self.town.world.keys.values():
            self.town.make_key(owner)

    @deed()
    @precondition(lambda self: "cal" not in self.town.world.tenants)
    def make_member(self) -> None:
        """Add a member."""
        self.town.make_member("a", "cal")

    @deed()
    @precondition(lambda self: "g3" not in self.town.world.tenants)
    def make_group(self) -> None:
        """Add a group."""
        self.town.make_group("a", "g3")

    # Grants

    @deed(data=st.data())
    def set_collection(self, data: st.DataObject) -> None:
        """Replace a collection's grants, now and then as one of its owners."""
        collection = self._one(data, sorted(self.town.world.collections))
        by = self._one(data, [None, None, *self._people()])
        owners = self._one(data, [{"ann": OWNER}, {"ann": OWNER}, {}])
        grants = {**self._grants(data), **(owners if collection != "cb" else {"bob": OWNER})}
        self.town.set_collection(collection, grants, by=by)

    @deed(data=st.data())
    @precondition(lambda self: "cc" not in self.town.world.collections)
    def make_collection(self, data: st.DataObject) -> None:
        """Add a collection."""
        self.town.make_collection("a", "cc", {"ann": OWNER, **self._grants(data)})

    @deed(data=st.data())
    def share(self, data: st.DataObject) -> None:
        """Share a document, or take a share back, mostly as an owner of it."""
        document, by = self._deed(data, OWNER)
        self.town.share(document, {**self._grants(data), by: OWNER}, by=by)

    @deed(data=st.data())
    def move(self, data: st.DataObject) -> None:
        """Give a document its collection's grants, or some that may leave the giver out."""
        document, by = self._deed(data, OWNER)
        grants = None if data.draw(st.integers(0, 3)) else self._grants(data)
        self.town.share(document, grants, by=by)

    # Documents

    @deed(data=st.data(), worked=st.booleans())
    @precondition(lambda self: len(self.town.world.documents) < MOST_DOCUMENTS)
    def upload(self, data: st.DataObject, *, worked: bool) -> None:
        """Upload a document, that workers may see to at once."""
        name = f"d{len(self.town.world.documents)}"
        collection = self._one(data, sorted(self.town.world.collections))
        by = self._one(data, ["ann", *self._people()])
        if by in self._erased():
            return
        own = self._one(data, [None, {**self._grants(data), by: OWNER}])
        about = frozenset(self._one(data, [[], ["bea"]])) - self._erased()
        self.town.upload(name, collection, by=by, own=own, about=about)
        if worked:
            self.town.work(self.town.world.tenants[by], destroy=False)

    @deed(data=st.data(), worked=st.booleans())
    def put_content(self, data: st.DataObject, *, worked: bool) -> None:
        """Send a new version."""
        document, by = self._deed(data, EDITOR)
        self.town.put_content(document, by=by)
        if worked:
            self.town.work(self.town.world.tenants[by], destroy=False)

    @deed(data=st.data())
    @precondition(lambda self: self.town.uploads)
    def repeat_upload(self, data: st.DataObject) -> None:
        """Send an upload once more."""
        places = [n for n, u in enumerate(self.town.uploads) if u[0] not in self._erased()]
        if places:
            self.town.repeat_upload(self._one(data, places))

    @deed(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete a document."""
        document, by = self._deed(data, EDITOR)
        self.town.delete(document, by=by)

    @deed(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """Have a document erased, or a person."""
        there = [d for d, one in self.town.world.documents.items() if not one.hidden]
        name = self._one(data, [*there, "bea"])
        if name in there:
            self.town.erase_document(name)
        elif name not in self._erased():
            self.town.erase_person(name)

    @deed(tenant=st.sampled_from(["a", "a", "b"]), destroy=st.booleans())
    def work(self, tenant: str, *, destroy: bool) -> None:
        """Let the workers make found what waits; now and then also destroy what is deleted or erased."""
        self.town.work(tenant, destroy=destroy)

    # Asking

    @deed(data=st.data())
    @precondition(lambda self: len(self.sessions) < 2)
    def open_session(self, data: st.DataObject) -> None:
        """Open a transaction that asks after every later deed."""
        self.sessions.append(Session(self.town, self._one(data, self._people())))

    @invariant()
    def everyone_asks(self) -> None:
        """Let everyone ask beneath the API, and one by it."""
        self.tally.deeds += 1
        self.turn += 1
        doors.ask_directly(self.town, "a")
        for session in self.sessions:
            session.ask_again()
        if self.turn % 2:
            doors.ask_directly(self.town, "b")
        else:
            members, door = self._people(), CHEAP[self.turn // 2 % len(CHEAP)]
            member = members[self.turn // 2 % len(members)]
            doors.ask(self.town, door, member, by_key=bool(self.turn & 4))

    def teardown(self) -> None:
        """Let everyone ask once more."""
        for session in self.sessions:
            session.close()
        if not self.town.over:
            self._everyone_asks_once_more()

    def _everyone_asks_once_more(self) -> None:
        """Let every member ask by the doors that it is the turn of."""
        town, turn = self.town, self.turn
        for place, member in enumerate(self._people()):
            for n in range(1 if turn % self.thorough else len(CHEAP)):
                door = CHEAP[(turn + place + n) % len(CHEAP)]
                doors.ask(town, door, member, by_key=bool((place + turn) & 1))
            if self.answers and turn % DEAR == 1:
                doors.ask(town, "answers", member, by_key=False)
        doors.revoked_keys(town)
        for tenant, tenant_id in town.tenant_ids.items():
            # A digest names those who were erased too.
            broken = broken_promises(tenant_id, digests=False)
            town.refuse_more(set(broken), set(), f"who looks at the audiences of {tenant}")
        for tenant in town.tenant_ids:
            doors.bare_door(town, tenant)
        if turn % DEAR == 2 and "adam" not in town.world.suspended:
            doors.pages_door(town, administrator(town))

    # Drawing

    def _one(self, data: st.DataObject, among: Sequence[T]) -> T:
        return data.draw(st.sampled_from(among))

    def _people(self) -> list[str]:
        return [m for m in self.town.world.members() if m not in self._erased()]

    def _groups(self) -> list[str]:
        return sorted(self.town.world.inside)

    def _erased(self) -> set[str]:
        return self.town.world.erased

    def _grants(self, data: st.DataObject) -> Grants:
        names = [*self._people(), *self._groups(), EVERYBODY]
        drawn = st.dictionaries(st.sampled_from(names), SHARES, min_size=1, max_size=3)
        grants: Grants = data.draw(drawn)
        return grants

    def _deed(self, data: st.DataObject, needed: int) -> tuple[str, str]:
        """Return a document and somebody to act on it: who may, who may only see it, or anybody."""
        world = self.town.world
        document = self._one(data, sorted(world.documents))
        people = self._people()
        able = [m for m in people if world.role_on(m, document) >= needed]
        lower = [m for m in people if 0 < world.role_on(m, document) < needed]
        choices = [some for some in (able, able, lower, people) if some]
        return document, self._one(data, self._one(data, choices))


def administrator(town: Town) -> Any:
    """Return a client that is signed in as Adam."""
    place = Place(
        town.tenant_ids["a"], Api(""), town.tenant_ids["a"], town.uuid("ca"), town.uuid("g1")
    )
    return signed_in(place, town.uuid("adam")).client()
