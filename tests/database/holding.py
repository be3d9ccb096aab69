"""Place and lift holds and restrictions, ask every door for a document, and look at what is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import NotAllowed, delete_document
from ambit.access.holdings import count_retrievable
from ambit.corpus.queries import (
    ContentNotReady,
    DocumentNotFound,
    get_document,
    list_documents,
    read_content,
    reading,
    visible_documents,
)
from ambit.corpus.services import NotRetryable, receive_version, retry_version
from ambit.corpus.types import Clearance, SubjectRef, Upload
from ambit.corpus.vault import vault_of
from ambit.erasure.restrictions import (
    lift,
    place_hold,
    place_restriction,
)
from ambit.erasure.types import RestrictionView
from ambit.files.store import list_files
from ambit.jobs.kinds import ERASE
from ambit.jobs.models import Job
from tenants.holding import Scope
from tests.database.erasures import (
    Town,
    keep_from_workers,
    seen_by,
    take,
    view_of,
)
from tests.database.worlds import working
from workers.erase.flow import erase

LATER = timedelta(days=90)
# An answer of a document that is not there is a refusal of another kind.
ANSWERED_OTHERWISE = (ContentNotReady, NotAllowed, NotRetryable)


def hold(
    town: Town,
    *,
    documents: list[UUID] | None = None,
    subject: SubjectRef | None = None,
    basis: str = "e",
    reason: str = "a claim is pending",
) -> RestrictionView:
    with working(town.tenant_id):
        return place_hold(
            subject=subject,
            document_ids=documents,
            basis=basis,
            review_at=timezone.now() + LATER,
            reason=reason,
        )


def restrict(town: Town, documents: list[UUID]) -> RestrictionView:
    with working(town.tenant_id):
        return place_restriction(subject=None, document_ids=documents, reason="it is disputed")


def release(town: Town, found: RestrictionView) -> RestrictionView:
    with working(town.tenant_id):
        view = lift(kind="hold" if found.is_hold else "restriction", restriction_id=found.id)
        keep_from_workers()
    return view


def doors_that_open(town: Town, document_id: UUID) -> list[str]:
    """Ask every door for a document, as Bob, who may read everything; return those that open."""
    with working(town.tenant_id):
        clearance = clearance_for(member_id=town.bob)
        opened = []
        if document_id in {p.document_id for p in seen_by(town.bob, k=50)}:
            opened.append("search")
        if document_id in {d.id for d in list_documents(clearance=clearance, after=None, limit=50)}:
            opened.append("list")
        if visible_documents(document_ids=[document_id], clearance=clearance):
            opened.append("visible")
        if count_retrievable(Scope(town.tenant_id, document_ids=(document_id,))):
            opened.append("readers together")
        with reading(clearance):
            if vault_of(document_id) is not None:
                opened.append("key")
        asked: dict[str, Callable[[], Any]] = {
            "record": lambda: get_document(document_id=document_id, clearance=clearance),
            "original": lambda: read_whole(document_id, clearance),
            "text": lambda: read_whole(document_id, clearance, kind="text"),
            "deletion": lambda: undone(
                lambda: delete_document(clearance=clearance, document_id=document_id)
            ),
            "new version": lambda: undone(
                lambda: receive_version(document_id=document_id, upload=letter())
            ),
            "retry": lambda: undone(lambda: retry_version(document_id=document_id)),
        }
        for name, ask in asked.items():
            try:
                ask()
            except DocumentNotFound:
                continue
            except ANSWERED_OTHERWISE:
                opened.append(name)
            else:
                opened.append(name)
    return opened


class Undo(Exception):
    """Takes back what was done."""


def read_whole(document_id: UUID, clearance: Clearance, *, kind: str = "original") -> bytes:
    """Read a document's content to its end."""
    _, chunks = read_content(document_id=document_id, clearance=clearance, kind=kind)
    return b"".join(chunks)


def undone(do: Callable[[], Any]) -> None:
    """Do something and take it back."""
    with transaction.atomic():
        do()
        transaction.set_rollback(True)


def letter(email: str = "", external_id: str | None = None) -> Upload:
    return Upload(
        title="A letter",
        file_name="letter.txt",
        media_type="text/plain",
        chunks=[b"Alice Lind lives at Quay Lane."],
        external_id=external_id,
        subjects=(SubjectRef("email", email),) if email else (),
    )


def content_of(superuser: psycopg.Connection, town: Town, document_id: UUID) -> list[str]:
    """Return everything that is stored of a document and says something, as text, with its files."""
    tables = ("documentkey", "version", "subject", "chunk", "chunkvector", "chunklexemes")
    rows = [
        row.replace(str(at), "")
        for table in tables
        for row, at in superuser.execute(
            f"SELECT (to_jsonb(t) - 'disabled_at')::text, '-' FROM corpus_{table} t"  # noqa: S608 - our tables
            " WHERE tenant_id = %s AND document_id = %s ORDER BY id",
            [town.tenant_id, document_id],
        )
    ]
    (record,) = superuser.execute(
        "SELECT (to_jsonb(d) - 'hidden_at' - 'withheld_at')::text FROM corpus_document d"
        " WHERE tenant_id = %s AND id = %s",
        [town.tenant_id, document_id],
    ).fetchall()
    files = list_files(tenant_id=town.tenant_id, document_id=document_id)
    return [*rows, record[0], *sorted(map(str, files))]


def work_on_until(town: Town, case_id: UUID | None, *states: str) -> Any:
    """Do a case's job until the case is in one of the states and nothing waits to be done."""
    assert case_id is not None
    for _ in range(400):
        held = take(town.tenant_id, case_id)
        if held is not None:
            erase(held)
        with working(town.tenant_id):
            keep_from_workers()
            waiting = Job.objects.filter(name=ERASE.name, object_id=case_id).exists()
        view = view_of(town.tenant_id, case_id)
        if view.state in states and not waiting:
            return view
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")
    raise TimeoutError(view.state)
