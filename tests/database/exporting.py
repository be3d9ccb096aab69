"""A tenant in which two people are known in every way, each with words that stand nowhere else."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from ambit.access.types import GrantSpec
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Citation, Usage
from ambit.corpus.holdings import versions_of
from ambit.corpus.types import Passage as Found
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import request_export
from ambit.export.queries import get_export, read_archive
from ambit.export.types import ExportView
from ambit.jobs.kinds import EXPORT, JobKind
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim
from tenants import services
from tenants.audit import Actor, acting_as, record
from tenants.models import Account
from tenants.scope import tenant_scope
from tests.database.erasures import keep_from_workers
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_tenant,
    publish,
    unit,
    working,
)
from workers.export.flow import export


@dataclass(frozen=True, slots=True)
class Person:
    """A member, and what names it."""

    id: UUID
    email: str
    external_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant with Alice and Bob; words by where they stand, documents by what they are about."""

    tenant_id: UUID
    alice: Person
    bob: Person
    words: dict[str, str]
    documents: dict[str, UUID]
    service_key: UUID
    zoe: str


def settle(*, email: str | None = None) -> Place:
    """Make the tenant; every word is unique, and letters alone, so that nothing else has it."""
    tenant_id = make_tenant()
    words: dict[str, str] = {}
    with working(tenant_id):
        alice, bob = _member("alice", email), _member("bob", None)
        key = services.create_service_key(name=f"Billing for {bob.name}", scopes=["search"])
        collection_id = make_collection(
            grant("owner", member=bob.id), grant("reader", member=alice.id)
        )
        for person in (alice, bob):
            group = services.create_group(external_id=uuid4().hex, name=f"Circle of {person.name}")
            services.add_to_group(group_id=group.pk, member_id=alice.id)
            _sign_in(tenant_id, person)
    zoe = f"emp-{_word()}"
    place = Place(tenant_id, alice, bob, words, {}, key.id, zoe)
    own = SubjectRef("email", alice.email)
    of_bob = SubjectRef("member", str(bob.id))
    of_zoe = SubjectRef("external_id", zoe)
    for name, subjects in {
        "alice": (own,),
        "alice again": (SubjectRef("external_id", alice.external_id), own),
        "both": (own, of_bob),
        "alice and zoe": (SubjectRef("member", str(alice.id)), of_zoe),
        "bob": (of_bob,),
        "nobody": (),
    }.items():
        _publish(place, name, collection_id, subjects)
    _ask(place, alice, "alice")
    _ask(place, alice, "both")
    _ask(place, alice, "bob")
    _ask(place, alice, "nobody")
    _ask(place, bob, "alice", asked="bob asks of alice")
    _read(place)
    return place


def ask_for(place: Place, *, include_shared: bool = False, kind: str = "email") -> UUID:
    """Ask for Alice's archive; return the export's id."""
    values = {"email": place.alice.email, "external_id": place.alice.external_id}
    subject = SubjectRef(kind, values[kind])  # type: ignore[arg-type]  # one of the two
    return ask(place.tenant_id, subject, include_shared=include_shared)


def ask(tenant_id: UUID, subject: SubjectRef, *, include_shared: bool = False) -> UUID:
    """Ask for an archive, which no worker but the test makes; return the export's id."""
    with working(tenant_id):
        made = request_export(
            subject=subject, reason=f"Asked by {subject.value}", include_shared=include_shared
        )
        keep_from_workers()
    return made.id


def take(tenant_id: UUID, export_id: UUID, *, kind: JobKind = EXPORT) -> Claim | None:
    """Claim an export's job as a worker would, without waiting for a lease or a delay to run out."""
    with working(tenant_id):
        job = Job.objects.filter(name=kind.name, object_id=export_id)
        job.update(run_after=timezone.now(), lease=None, leased_until=None)
        found = job.first()
        return claim(tenant_id=tenant_id, job_id=found.pk) if found else None


def make(tenant_id: UUID, export_id: UUID) -> ExportView:
    """Do an export's job once."""
    held = take(tenant_id, export_id)
    if held is not None:
        export(held)
        with working(tenant_id):
            keep_from_workers()
    return view_of(tenant_id, export_id)


def view_of(tenant_id: UUID, export_id: UUID) -> ExportView:
    """Return an export."""
    with working(tenant_id):
        return get_export(export_id=export_id)


def archive_of(tenant_id: UUID, export_id: UUID) -> dict[str, bytes]:
    """Return the archive's files by name."""
    with working(tenant_id):
        _, content = read_archive(export_id=export_id)
    with zipfile.ZipFile(io.BytesIO(b"".join(content))) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def part(archive: dict[str, bytes], name: str) -> Any:
    """Return one of the archive's JSON files."""
    return json.loads(archive[name])


def _member(name: str, email: str | None) -> Person:
    word = _word()
    member = services.create_member(
        external_id=f"{name}-{word}",
        email=email or f"{name}.{word}@example.org",
        name=f"{name.title()} {word.title()}",
        role="member",
    )
    services.create_member_key(member_id=member.pk, name=f"{name} phone", scopes=["search"])
    return Person(member.pk, member.email, member.external_id, member.name)


def _sign_in(tenant_id: UUID, person: Person) -> None:
    account = Account.objects.using("default").create(
        tenant_id=tenant_id,
        member_id=person.id,
        sign_in=f"{tenant_id.hex}/{person.email}",
        password="!",
    )
    session = SessionStore()
    session["_auth_user_id"] = str(account.pk)
    session.create()


def _publish(
    place: Place, name: str, collection_id: UUID, subjects: tuple[SubjectRef, ...]
) -> None:
    place.words[f"text of {name}"] = text = _word()
    place.words[f"metadata of {name}"] = note = _word()
    bob = place.bob
    grants: list[GrantSpec] | None = None
    if name == "alice again":
        grants = [grant("owner", member=bob.id)]
    place.documents[name] = publish(
        tenant_id=place.tenant_id,
        by=bob.id,
        collection_id=collection_id,
        passages=[Passage(f"The letter says {text} plainly.", unit(len(place.documents)))],
        grants=grants,
        subjects=subjects,
        metadata={
            "note": note,
            "cc": [f"see {bob.email.upper()}, or {bob.name}’s desk ({bob.external_id})"],
            bob.email: str(bob.id),
            "colleague": f"<{place.zoe}>",
        },
    )


def _ask(place: Place, person: Person, document: str, *, asked: str = "") -> None:
    name = asked or f"of {document}"
    place.words[f"question {name}"] = question = _word()
    place.words[f"answer {name}"] = answer = _word()
    place.words[f"quote {name}"] = quote = _word()
    document_id = place.documents[document]
    with working(place.tenant_id, custody=True):
        (version_id,) = versions_of([document_id])
        passage = Found(
            chunk_id=uuid4(), document_id=document_id, version_id=version_id, version=1,
            collection_id=uuid4(), title="A document", section="", text=quote, page_first=None,
            page_last=None, char_start=0, char_end=5, score=1.0, similarity=None,
        )  # fmt: skip
        citation = Citation(
            marker=1, document_id=document_id, version_id=version_id, version=1,
            chunk_id=passage.chunk_id, title="A document", page_first=None, page_last=None,
            char_start=0, char_end=5, quote=quote,
        )  # fmt: skip
        save_exchange(
            member_id=person.id,
            question=f"What is {question}, {place.bob.name}?",
            answer=Answer(
                text=f"It is {answer}, says {place.bob.email}.",
                abstained=False,
                generator="extractive",
                citations=(citation,),
                unsupported=(),
                usage=Usage(),
            ),
            passages=[passage],
        )


def _read(place: Place) -> None:
    """Let Bob and the service fetch what is about Alice, and Alice search."""
    documents = [place.documents["alice"]]
    for actor in (
        Actor("member", place.bob.id),
        Actor("service", place.service_key),
        Actor("service", place.service_key, member_id=place.bob.id),
    ):
        with acting_as(actor), tenant_scope(place.tenant_id):
            record("content.read", object_id=documents[0], document_ids=documents)
    with acting_as(Actor("member", place.alice.id)), tenant_scope(place.tenant_id):
        record("search", document_ids=[*documents, place.documents["bob"]], counts={"passage": 2})


def _word() -> str:
    return "".join(chr(ord("a") + int(digit, 16)) for digit in uuid4().hex[:16])
