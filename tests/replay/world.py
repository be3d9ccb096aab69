"""The history in one tenant of Ambit: made and changed by Ambit's own services, and looked at as its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from ambit.access import clearance, documents, services
from ambit.access.queries import collection_grants
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.corpus.queries import reading
from tenants import services as directory
from tests.database.worlds import Passage, grant, make_member, make_tenant, publish, unit, working
from tests.replay.history import Event, Fact, History, Page

# What row-level security shows of documents and of their passages: the two must be the same set.
_SEEN = "SELECT id FROM corpus_document"
_READ = "SELECT DISTINCT document_id FROM corpus_chunk"
_AUDIT = "tenants_auditevent"


class World:
    """One tenant with the history's people, teams, collections and pages, and a keeper who owns every collection."""

    def __init__(self, history: History) -> None:
        """Make all of it as it was at the start; everybody exists from then on, with or without rights."""
        self.tenant_id = make_tenant("Replay")
        self.members: dict[str, UUID] = {}
        self.groups: dict[str, UUID] = {}
        self.collections: dict[str, UUID] = {}
        self.pages: dict[UUID, str] = {}
        with working(self.tenant_id):
            self.keeper = make_member("keeper")
            self.members = {name: _member(name) for name in history.members}
            self.groups = {
                name: directory.create_group(external_id=name, name=name).pk
                for name in sorted(history.teams)
            }
            for child, parent in history.parents.items():
                directory.nest_group(parent_id=self.groups[parent], child_id=self.groups[child])
        self._place(history)
        self._make_collections(history)
        for page in history.pages:
            self.pages[self._publish(page)] = page.name

    def apply(self, event: Event) -> Counter[str]:
        """Do what happened, in a transaction of its own; return the rows written by table."""
        with working(self.tenant_id), rows_written() as written:
            if event.fact.kind == "grant":
                self._regrant(event)
            else:
                place = {
                    "group_id": self.groups[event.fact.team],
                    "member_id": self.members[event.fact.subject],
                }
                (directory.add_to_group if event.begins else directory.remove_from_group)(**place)
        return written

    def sight(self, members: Iterable[str]) -> dict[str, set[str]]:
        """Return the pages that each member sees, by its clearance and row-level security."""
        with working(self.tenant_id):
            return {name: self._sees(self.members[name]) for name in members}

    def keepers_sight(self) -> set[str]:
        """Return the pages of the member who owns all collections."""
        with working(self.tenant_id):
            return self._sees(self.keeper)

    def _sees(self, member_id: UUID) -> set[str]:
        with reading(clearance.clearance_for(member_id=member_id)), connection.cursor() as cursor:
            seen, read = (
                {self.pages[row[0]] for row in cursor.execute(statement).fetchall()}
                for statement in (_SEEN, _READ)
            )
        if seen != read:
            raise AssertionError(f"documents and passages differ: {sorted(seen ^ read)}")
        return seen

    def _place(self, history: History) -> None:
        with working(self.tenant_id):
            for fact in history.start:
                if fact.kind != "grant":
                    directory.add_to_group(
                        group_id=self.groups[fact.team], member_id=self.members[fact.subject]
                    )

    def _make_collections(self, history: History) -> None:
        grants = {
            name: [grant("reader", group=self.groups[team]) for team in sorted(teams)]
            for name, teams in history.designs.items()
        }
        grants |= {name: [] for name in history.repositories}
        for fact in history.start:
            if fact.kind == "grant":
                grants[fact.subject].append(self._grant(fact))
        with working(self.tenant_id):
            for name, given in grants.items():
                self.collections[name] = services.create_collection(
                    name=name, grants=[grant("owner", member=self.keeper), *given]
                )

    def _publish(self, page: Page) -> UUID:
        own = None
        if page.readers is not None:
            own = [grant("reader", group=self.groups[team]) for team in sorted(page.readers)]
            own.append(grant("owner", member=self.keeper))
        return publish(
            tenant_id=self.tenant_id,
            by=self.keeper,
            collection_id=self.collections[page.collection],
            passages=[Passage(page.text, unit(0))],
            grants=own,
        )

    def _regrant(self, event: Event) -> None:
        """Do as a client does: read a collection's grants, change one, put them back."""
        collection_id = self.collections[event.fact.subject]
        changed = self._grant(event.fact)
        grants = [
            given
            for given in collection_grants(collection_id=collection_id)
            if given.principal != changed.principal
        ]
        documents.set_collection_grants(
            clearance=clearance.clearance_for(member_id=self.keeper),
            collection_id=collection_id,
            grants=[*grants, changed] if event.begins else grants,
        )

    def _grant(self, fact: Fact) -> GrantSpec:
        if fact.role is None:
            raise ValueError(f"a grant without a role: {fact}")
        return GrantSpec(PrincipalRef(group_id=self.groups[fact.team]), fact.role)


@contextmanager
def rows_written() -> Iterator[Counter[str]]:
    """Count the rows that the transaction writes in the block, by table; audit events under "audit".

    What waits for the commit, as the tenant's epoch does, is done at the end of the block.
    """
    before = _written()
    found: Counter[str] = Counter()
    yield found
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table, rows in (_written() - before).items():
        found["audit" if table == _AUDIT else table] += rows


def _written() -> Counter[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"
        )
        return Counter(dict(cursor.fetchall()))


def _member(name: str) -> UUID:
    return directory.create_member(
        external_id=name, email=f"{name}@example.org", name=name, role="member"
    ).pk
