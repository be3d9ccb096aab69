"""What must be true of documents' readers at every commit, looked up row by row, and sessions that cross."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document, write_grants
from ambit.access.holdings import GRANTS
from ambit.access.models import Audience
from ambit.access.types import GrantSpec
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.services import hide_documents
from ambit.corpus.types import Upload
from tenants.holding import Scope
from tests.database.office import Office, make_office
from tests.database.worlds import Passage, grant, make_member, unit, working

SECONDS = 30.0
# By audience and by document, who reads: "member:…", "group:…" or "tenant", sorted.
_NAMES = """coalesce(array_agg(coalesce('member:' || p.member_id, 'group:' || p.group_id, 'tenant')
    ORDER BY coalesce('member:' || p.member_id, 'group:' || p.group_id, 'tenant') COLLATE "C")
    FILTER (WHERE p.id IS NOT NULL), '{}')"""
_AUDIENCES = f"""
SELECT a.id, a.digest, {_NAMES} FROM access_audience a
LEFT JOIN access_audienceprincipal p ON p.audience_id = a.id GROUP BY a.id, a.digest
"""  # noqa: S608 - constants alone
_DOCUMENTS = f"""
SELECT d.id, d.audience_id, d.own_grants, d.hidden_at IS NULL, c.audience_id, {_NAMES} FROM corpus_document d
JOIN access_collection c ON c.id = d.collection_id LEFT JOIN access_grant p ON p.document_id = d.id
GROUP BY d.id, d.audience_id, d.own_grants, d.hidden_at, c.audience_id
"""  # noqa: S608 - constants alone


def broken_promises(tenant_id: UUID, *, digests: bool = True) -> list[str]:
    """Say what is wrong with the audiences of a tenant; digests name members and groups that are gone by now."""
    with working(tenant_id, custody=True), connection.cursor() as cursor:
        cursor.execute(_AUDIENCES)
        audiences = {a: (digest, tuple(names)) for a, digest, names in cursor.fetchall()}
        cursor.execute(_DOCUMENTS)
        documents = cursor.fetchall()
    found = []
    for document, audience, own_grants, shown, of_collection, names in documents:
        digest, readers = audiences[audience]
        if own_grants and readers != tuple(names):
            found.append(f"{document} is read by {readers}, its grants name {names}")
        if own_grants and shown and digest is None:
            found.append(f"{document} has grants of its own and an audience that is not interned")
        if not own_grants and audience != of_collection:
            found.append(f"{document} has its collection's grants and another audience")
    used = {audience for _, audience, *_ in documents}
    for audience, (digest, readers) in audiences.items():
        if digest is None:
            continue
        if audience not in used:
            found.append(f"nothing is in {audience}")
        if digests and digest != hashlib.sha256("|".join(readers).encode()).hexdigest():
            found.append(f"{audience} is read by {readers}, which is not what its digest says")
    return found


@dataclass(frozen=True)
class Other:
    """A session beside the test's own, on a connection of its own."""

    done: Future[Any]
    pids: list[int] = field(default_factory=list)

    def waits(self) -> bool:
        """Say whether it waits for another session; False once it is done."""
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends and not self.done.done():
            if self.pids and self._is_blocked():
                return True
            time.sleep(0.01)
        return False

    def result(self) -> Any:
        """Return what it returned, or raise what it raised."""
        return self.done.result(timeout=SECONDS)

    def _is_blocked(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", self.pids)
            return bool(cursor.fetchone()[0])


Begin = Callable[[UUID, Callable[[], Any]], Other]


@contextmanager
def beside() -> Iterator[Begin]:
    """Return what does something in a tenant's transaction of another session."""
    with ThreadPoolExecutor() as threads:

        def begin(tenant_id: UUID, do: Callable[[], Any]) -> Other:
            pids: list[int] = []

            def apart() -> Any:
                try:
                    with working(tenant_id), connection.cursor() as cursor:
                        cursor.execute("SELECT pg_backend_pid()")
                        pids.append(cursor.fetchone()[0])
                        return do()
                finally:
                    connection.close()

            return Other(threads.submit(apart), pids)

        yield begin


@dataclass(frozen=True)
class Desk:
    """An office and three more members, whose numbers stand for grants to read."""

    office: Office
    people: tuple[UUID, UUID, UUID]

    @property
    def tenant_id(self) -> UUID:
        return self.office.tenant_id

    def grants(self, *numbers: int) -> list[GrantSpec]:
        """Return grants for Alice, who owns, and for these of the three."""
        readers = [grant("reader", member=self.people[n]) for n in numbers]
        return [grant("owner", member=self.office.alice), *readers]

    def document(self, *numbers: int) -> UUID:
        """Publish a document with grants of its own."""
        return self.office.publish(Passage("harbor", unit(0)), grants=self.grants(*numbers))

    def share(self, document_id: UUID, *numbers: int) -> None:
        """Give a document grants, in the transaction in scope."""
        document = get_document_as_custodian(document_id=document_id)
        write_grants(document=document, grants=self.grants(*numbers))

    def put_back(self, document_id: UUID) -> None:
        """Give a document its collection's grants, in the transaction in scope."""
        write_grants(document=get_document_as_custodian(document_id=document_id), grants=None)

    def upload(self, *numbers: int) -> UUID:
        """Upload a document with grants of its own, in the transaction in scope."""
        return upload_document(
            clearance=clearance_for(member_id=self.office.alice),
            collection_id=self.office.collection_id,
            upload=Upload("A document", "document.txt", "text/plain", [b"harbor"]),
            grants=self.grants(*numbers),
        )

    def destroy(self, document_id: UUID) -> None:
        """Hide a document and destroy its grants, in the transaction in scope."""
        hide_documents(document_ids=[document_id])
        GRANTS.destroy(Scope(self.tenant_id, document_ids=(document_id,)))

    def audience_of(self, document_id: UUID) -> UUID:
        """Return a document's audience."""
        with working(self.tenant_id):
            return get_document_as_custodian(document_id=document_id).audience_id

    def interned(self) -> set[UUID]:
        """Return the interned audiences."""
        with working(self.tenant_id):
            found = Audience.objects.filter(digest__isnull=False)
            return set(found.values_list("pk", flat=True))

    def readers(self, document_id: UUID) -> set[int]:
        """Return which of the three find a document."""
        return {
            n
            for n, member in enumerate(self.people)
            if document_id in {p.document_id for p in self.office.ask(member, "harbor")}
        }


def make_desk() -> Desk:
    """Return a fresh tenant."""
    office = make_office()
    with working(office.tenant_id):
        people = (make_member("ida"), make_member("jon"), make_member("kim"))
    return Desk(office, people)
