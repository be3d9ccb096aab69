"""Make people whom every holding knows something about, and forget them as a worker would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from psycopg import sql
from redis import Redis

from ambit.access.clearance import clearance_for
from ambit.answers.conversations import start_conversation
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Usage
from ambit.corpus.holdings import versions_of
from ambit.corpus.search import search
from ambit.corpus.types import Passage as Found
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import request_export
from ambit.erasure.queries import get_erasure, get_receipt
from ambit.erasure.services import Identity, request_erasure
from ambit.erasure.types import ErasureView
from ambit.erasure.waiting import KEYS, WORDS
from ambit.jobs.kinds import ERASE, INGEST_VERSION
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim, enqueue
from tenants.models import Account, IdempotencyKey, Member
from tenants.queries import list_keys
from tenants.services import create_member, create_member_key
from tests.cast import NOT_FOR_WORKERS
from tests.database.adapting import make_live
from tests.database.metering import used
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_group,
    make_tenant,
    publish,
    random_vectors,
    working,
)
from workers.erase.flow import erase

# Written anew with every deed, or about the tenant as a whole.
NOT_COMPARED = {"tenants_auditevent", "tenants_tenant", "jobs_job", "django_session"}
SECONDS = 30
# For a word of its own that nobody takes for an identifier.
LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True, slots=True)
class Town:
    """A tenant with a member, Alice, whom every holding knows, her namesake, and Bob."""

    tenant_id: UUID
    alice: UUID
    namesake: UUID
    bob: UUID
    collection_id: UUID
    # Declares Alice by e-mail address, external id and member id.
    about_alice: tuple[UUID, UUID, UUID]
    # Uploaded by Alice, about nobody.
    uploaded_by_alice: UUID
    about_namesake: UUID
    about_bob: UUID
    answers: tuple[UUID, ...]
    export_of_alice: UUID
    # Trained on a document about Alice and on one about Bob.
    adapter: UUID

    @property
    def everything(self) -> set[UUID]:
        """All documents."""
        return {
            *self.about_alice,
            self.uploaded_by_alice,
            self.about_namesake,
            self.about_bob,
        }


def inhabit(*, email: str | None = None, n_chunks: int = 3) -> Town:
    """Make a tenant in which every holding has something of Alice, who has this e-mail address."""
    tenant_id = make_tenant()
    unique = uuid4().hex[:8]
    with working(tenant_id):
        alice = create_member(
            external_id=f"alice-{unique}",
            email=email or f"alice-{unique}@example.org",
            name="Alice Lind",
            role="member",
        )
        namesake = create_member(
            external_id=f"other-{unique}",
            email=f"other-{unique}@example.org",
            name="Alice Lind",
            role="member",
        ).pk
        bob = create_member(
            external_id=f"bob-{unique}", email=f"bob-{unique}@example.org", name="Bob", role="admin"
        ).pk
        make_group(members=[alice.pk, bob])
        collection_id = make_collection(
            grant("owner", member=alice.pk),
            grant("owner", member=bob),
            grant("reader", member=namesake),
        )
    subjects = {
        "email": SubjectRef("email", alice.email.upper()),
        "external": SubjectRef("external_id", alice.external_id),
        "member": SubjectRef("member", str(alice.pk)),
        "namesake": SubjectRef("email", f"other-{unique}@example.org"),
        "bob": SubjectRef("member", str(bob)),
    }
    vectors = iter(random_vectors(6 * n_chunks, seed=7))

    def document(*named: str, by: UUID) -> UUID:
        text = f"Alice Lind lives at Quay Lane {uuid4().hex.translate(LETTERS)}."
        return publish(
            tenant_id=tenant_id,
            by=by,
            collection_id=collection_id,
            passages=[Passage(text, next(vectors)) for _ in range(n_chunks)],
            subjects=tuple(subjects[name] for name in named),
        )

    about_alice = (
        document("email", by=bob),
        document("external", "bob", by=bob),
        document("member", by=alice.pk),
    )
    about_bob = document("bob", by=bob)
    town = Town(
        tenant_id=tenant_id,
        alice=alice.pk,
        namesake=namesake,
        bob=bob,
        collection_id=collection_id,
        about_alice=about_alice,
        uploaded_by_alice=document(by=alice.pk),
        about_namesake=document("namesake", by=bob),
        about_bob=about_bob,
        answers=(
            ask(tenant_id, alice.pk, {about_alice[0]}),
            ask(tenant_id, bob, {about_alice[1]}),
            ask(tenant_id, alice.pk, set(), in_conversation=True),
        ),
        export_of_alice=export_of(tenant_id, alice.pk),
        adapter=make_live(tenant_id, bob, [about_alice[0], about_bob]),
    )
    export_of(tenant_id, bob)
    _sign_in(town)
    _leave_traces(town)
    return town


def ask(
    tenant_id: UUID, member_id: UUID, documents: set[UUID], *, in_conversation: bool = False
) -> UUID:
    """Save an answer for a member, made from passages of these documents."""
    with working(tenant_id):
        passages = [p for p in seen_by(member_id, k=50) if p.document_id in documents]
        return save_exchange(
            member_id=member_id,
            question="Where does Alice Lind live?",
            answer=Answer(
                text="At Quay Lane.",
                abstained=False,
                generator="extractive",
                citations=(),
                unsupported=(),
                usage=Usage(),
            ),
            passages=passages,
            conversation_id=start_conversation(member_id=member_id) if in_conversation else None,
        )


def export_of(tenant_id: UUID, member_id: UUID) -> UUID:
    """Ask for a member's archive, which no worker makes."""
    with working(tenant_id):
        subject = SubjectRef("member", str(member_id))
        made = request_export(subject=subject, reason="Art. 15 GDPR", include_shared=True)
        keep_from_workers()
    return made.id


def seen_by(member_id: UUID, *, k: int = 50) -> list[Found]:
    """Return what a member of the tenant in scope finds by words and by meaning."""
    clearance = clearance_for(member_id=member_id)
    vector = random_vectors(1, seed=3)[0].tolist()
    found = search(clearance=clearance, query="Quay Lane", embedding=vector, k=k)
    found += search(clearance=clearance, query="Alice lives", embedding=None, k=k, mode="text")
    return found


def documents_seen(town: Town) -> set[UUID]:
    """Return the documents that any member finds."""
    with working(town.tenant_id):
        members = list(Member.objects.values_list("pk", flat=True))
        return {p.document_id for member in members for p in seen_by(member)}


def file(
    tenant_id: UUID,
    *,
    subject: SubjectRef | None = None,
    documents: list[UUID] | None = None,
    also: list[UUID] | None = None,
    reason: str = "Art. 17 GDPR",
    dry_run: bool = False,
    identity: Identity = "verified",
) -> ErasureView:
    """File a request and commit it."""
    with working(tenant_id):
        view = request_erasure(
            subject=subject,
            document_ids=documents,
            also_document_ids=also,
            reason=reason,
            dry_run=dry_run,
            identity=identity,
        )
        keep_from_workers()
    return view


def file_for(town: Town) -> UUID:
    """File a request to forget Alice by her e-mail address; return the case's id."""
    case_id = file(town.tenant_id, subject=SubjectRef("email", email_of(town))).id
    assert case_id is not None
    return case_id


def file_pending(town: Town) -> UUID:
    """File a request to forget Alice whose identity check runs; return the case's id."""
    subject = SubjectRef("email", email_of(town))
    case_id = file(town.tenant_id, subject=subject, identity="pending").id
    assert case_id is not None
    return case_id


def email_of(town: Town) -> str:
    """Return Alice's e-mail address."""
    with working(town.tenant_id):
        return str(Member.objects.get(pk=town.alice).email)


def take(tenant_id: UUID, case_id: UUID) -> Claim | None:
    """Claim a case's job as a worker would, without waiting for a lease or a delay to run out."""
    with working(tenant_id):
        job = Job.objects.filter(name=ERASE.name, object_id=case_id)
        job.update(run_after=timezone.now(), lease=None, leased_until=None)
        found = job.first()
        return claim(tenant_id=tenant_id, job_id=found.pk) if found else None


def keep_from_workers() -> None:
    """Put off the jobs of the tenant in scope that nobody has taken."""
    free = Job.objects.filter(lease=None).exclude(run_after=NOT_FOR_WORKERS)
    free.update(run_after=NOT_FOR_WORKERS)


def work_on(tenant_id: UUID, case_id: UUID) -> ErasureView:
    """Do a case's job until it is closed or incomplete."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        held = take(tenant_id, case_id)
        if held is not None:
            erase(held)
        with working(tenant_id):
            keep_from_workers()
        view = view_of(tenant_id, case_id)
        if view.state in {"closed", "incomplete"}:
            return view
        # Another test's transaction is older than the request: not settled yet.
        time.sleep(0.05)
    raise TimeoutError(view.state)


def work_until_it_waits(tenant_id: UUID, case_id: UUID) -> ErasureView:
    """Do a case's job until it waits for keys; return it then."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        held = take(tenant_id, case_id)
        assert held is not None
        erase(held)
        with working(tenant_id):
            keep_from_workers()
        view = view_of(tenant_id, case_id)
        if view.waits_for == WORDS[KEYS]:
            return view
        time.sleep(0.05)
    raise TimeoutError(view.state)


def view_of(tenant_id: UUID, case_id: UUID) -> ErasureView:
    """Return a case."""
    with working(tenant_id):
        return get_erasure(erasure_id=case_id)


def receipt_of(tenant_id: UUID, case_id: UUID) -> dict[str, Any]:
    """Return a case's receipt."""
    with working(tenant_id):
        return get_receipt(erasure_id=case_id)


def counts(receipt: dict[str, Any], what: str) -> dict[str, int]:
    """Return one count of every holding that found anything."""
    return {h["name"]: h[what] for h in receipt["holdings"] if h["found"]}


def rows_of(connection: psycopg.Connection, tenant_id: UUID) -> dict[str, set[str]]:
    """Return every row of a tenant as text, by table, read as the superuser."""
    tables = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND NOT a.attisdropped"
        " AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    found = {}
    for (table,) in tables:
        if table in NOT_COMPARED or table.startswith("erasure_"):
            continue
        statement = sql.SQL("SELECT t::text FROM {} t WHERE tenant_id = %s").format(
            sql.Identifier(table)
        )
        found[table] = {row for (row,) in connection.execute(statement, [tenant_id])}
    return found


def redis() -> Any:
    """Connect to the session's Redis."""
    return Redis.from_url(settings.REDIS_URL)


def _sign_in(town: Town) -> None:
    for member_id in (town.alice, town.bob):
        with working(town.tenant_id):
            account = Account.objects.using("default").create(
                tenant_id=town.tenant_id, member_id=member_id, sign_in=uuid4().hex, password="!"
            )
            session = SessionStore()
            session["_auth_user_id"] = str(account.pk)
            session.create()
            create_member_key(member_id=member_id, name="phone", scopes=["search"])


def _leave_traces(town: Town) -> None:
    with working(town.tenant_id, custody=True):
        for member_id, document_id in (
            (town.alice, town.about_alice[0]),
            (town.bob, town.about_bob),
        ):
            IdempotencyKey.objects.create(
                actor_id=member_id,
                key_hash=uuid4().hex,
                request_hash=uuid4().hex,
                status=202,
                object_kind="document",
                object_ids=[document_id],
            )
        # As if about to be read anew.

        enqueue(INGEST_VERSION, object_id=versions_of(town.about_alice)[0])
        enqueue(INGEST_VERSION, object_id=versions_of([town.about_bob])[0])
        keep_from_workers()
    for member_id in (town.alice, town.bob):
        redis().set(f"calls:{member_id}", 1, ex=300)
        with working(town.tenant_id):
            (key,) = list_keys(member_id=member_id)
        used(town.tenant_id, member_id, key_id=key.pk)
