"""The cast, same meaning in every test.

Alice owns the collection "Handbooks" and what is in it. Bob is in a group, inside a group that may
read it. Carol is in the same tenant and has no grant. Mallory is in another tenant, where she owns a
collection of the same name. Olivia is privacy officer, Adam administrator, Audrey auditor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.test import APIClient

from ambit.access import documents as access
from ambit.access import services as access_services
from ambit.access.clearance import clearance_for
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.corpus import ingest
from ambit.corpus.models import Version
from ambit.corpus.types import SubjectRef, Upload
from ambit.jobs import services as jobs
from ambit.jobs.models import Job
from ambit.keys.keyring import create_tenant_keys
from tenants import services
from tenants.audit import Actor, acting_as
from tenants.ids import public_id
from tenants.models import Member
from tenants.scope import custody_scope, tenant_scope

NOBODY = UUID(int=0)
# A Celery worker may run beside the tests: some jobs are for the tests alone.
NOT_FOR_WORKERS = datetime(2099, 1, 1, tzinfo=UTC)
HANDBOOK = "Employees get 27 days of annual leave. Unused days lapse in March."


@cache
def _client() -> APIClient:
    # One for all: each would load the middleware anew.
    return APIClient(raise_request_exception=False)


@dataclass(frozen=True)
class Api:
    """A way to call the API in this process: a key, and whom it acts for."""

    key: str = field(repr=False)
    member: str | None = None

    def call(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        """Send a request and return the response."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if self.member is not None:
            headers["Ambit-Member"] = self.member
        headers |= extra.pop("headers", {})
        if body is not None and "format" not in extra and "content_type" not in extra:
            extra["format"] = "json"
        return getattr(_client(), method.lower())(path, body, headers=headers, **extra)

    def get(self, path: str, query: dict[str, Any] | None = None, **extra: Any) -> Any:
        """Send GET."""
        return self.call("GET", path, query, format=None, **extra)

    def post(self, path: str, body: Any = None, **extra: Any) -> Any:
        """Send POST with JSON, or with format="multipart" a form."""
        return self.call("POST", path, body, **extra)

    def put(self, path: str, body: Any = None, **extra: Any) -> Any:
        """Send PUT."""
        return self.call("PUT", path, body, **extra)

    def patch(self, path: str, body: Any = None, **extra: Any) -> Any:
        """Send PATCH."""
        return self.call("PATCH", path, body, **extra)

    def delete(self, path: str, **extra: Any) -> Any:
        """Send DELETE."""
        return self.call("DELETE", path, **extra)

    def acting_for(self, member: str | None) -> Api:
        """Return the same key acting for somebody."""
        return replace(self, member=member)


@dataclass(frozen=True)
class Person(Api):
    """A member with a key of its own."""

    id: UUID = NOBODY
    external_id: str = ""
    email: str = ""

    @property
    def public_id(self) -> str:
        """Return the member's id as the API has it."""
        return public_id("member", self.id)


@dataclass(frozen=True)
class Place:
    """A tenant with a service's key, and a collection of Alice's or Mallory's."""

    id: UUID
    service: Api
    service_key_id: UUID
    collection_id: UUID
    group_id: UUID

    @property
    def collection(self) -> str:
        """Return the collection's id as the API has it."""
        return public_id("collection", self.collection_id)

    @property
    def group(self) -> str:
        """Return the group's id as the API has it."""
        return public_id("group", self.group_id)


@dataclass(frozen=True)
class Cast:
    """Everybody."""

    here: Place
    there: Place
    operator: Api
    alice: Person
    bob: Person
    carol: Person
    adam: Person
    olivia: Person
    audrey: Person
    mallory: Person


def make_cast() -> Cast:
    """Make two tenants with everybody in them."""
    here_id, here_key, here_key_id = _make_tenant()
    there_id, there_key, there_key_id = _make_tenant()
    with as_service(here_id, here_key_id):
        alice, bob, carol = (_person(here_id, name) for name in ("alice", "bob", "carol"))
        adam = _person(here_id, "adam", role="admin")
        olivia = _person(here_id, "olivia", role="privacy_officer")
        audrey = _person(here_id, "audrey", role="auditor")
        staff = services.create_group(external_id="staff", name="Staff")
        nurses = services.create_group(external_id="nurses", name="Nurses")
        services.nest_group(parent_id=staff.pk, child_id=nurses.pk)
        services.add_to_group(group_id=nurses.pk, member_id=bob.id)
        collection_id = access_services.create_collection(
            name="Handbooks",
            grants=[
                GrantSpec(PrincipalRef(member_id=alice.id), "owner"),
                GrantSpec(PrincipalRef(group_id=staff.pk), "reader"),
            ],
        )
    with as_service(there_id, there_key_id):
        mallory = _person(there_id, "mallory")
        gang = services.create_group(external_id="staff", name="Staff")
        theirs = access_services.create_collection(
            name="Handbooks", grants=[GrantSpec(PrincipalRef(member_id=mallory.id), "owner")]
        )
    return Cast(
        here=Place(here_id, Api(here_key), here_key_id, collection_id, nurses.pk),
        there=Place(there_id, Api(there_key), there_key_id, theirs, gang.pk),
        operator=Api(services.create_operator_key(name="test")),
        alice=alice,
        bob=bob,
        carol=carol,
        adam=adam,
        olivia=olivia,
        audrey=audrey,
        mallory=mallory,
    )


@contextmanager
def as_service(tenant_id: UUID, key_id: UUID | None = None) -> Iterator[None]:
    """Work inside a tenant as its service does."""
    with acting_as(Actor("service", key_id)), tenant_scope(tenant_id):
        yield


def upload(
    person: Person,
    place: Place,
    *,
    text: str = HANDBOOK,
    title: str = "Handbook",
    grants: Sequence[GrantSpec] | None = None,
    subjects: tuple[SubjectRef, ...] = (),
    metadata: dict[str, Any] | None = None,
    language: str | None = None,
) -> UUID:
    """Upload a text document as somebody, and leave it waiting for a worker."""
    with as_service(place.id, place.service_key_id):
        return access.upload_document(
            clearance=clearance_for(member_id=person.id),
            collection_id=place.collection_id,
            upload=Upload(
                title=title,
                file_name="handbook.txt",
                media_type="text/plain",
                chunks=[text.encode()],
                metadata=metadata or {},
                language=language,
                subjects=subjects,
                created_by_id=person.id,
            ),
            grants=grants,
        )


def upload_unseen(person: Person, place: Place, **kwargs: Any) -> UUID:
    """Upload a text document that a session's real worker does not touch."""
    with as_service(place.id, place.service_key_id):
        document_id = upload(person, place, **kwargs)
        # Before it is committed: a worker is told of it then, and finds nothing to do.
        with custody_scope():
            ingest_jobs(document_id).update(run_after=NOT_FOR_WORKERS)
    return document_id


def publish(person: Person, place: Place, *, text: str = HANDBOOK, **kwargs: Any) -> UUID:
    """Upload a text document and make it found at once: a worker's own steps, by hand, one chunk.

    The vector is made up from the text's hash: tests of retrieval by meaning need real workers.
    """
    document_id = upload_unseen(person, place, text=text, **kwargs)
    with acting_as(Actor("worker", None)):
        held = _take(place.id, document_id)
        source = ingest.open_source(held)
        source.write_text(text)
        ingest.mark_parsed(held, media_type="text/plain", n_pages=None)
        ingest.mark_chunked(held, n_chunks=1)
        ingest.store_chunks(held, source=source, chunks=[_chunk(text)])
    return document_id


def _take(tenant_id: UUID, document_id: UUID) -> jobs.Claim:
    with tenant_scope(tenant_id, custody=True):
        job = ingest_jobs(document_id).get()
        ingest_jobs(document_id).update(run_after=timezone.now())
        held = jobs.claim(tenant_id=tenant_id, job_id=job.pk)
    if held is None:
        raise RuntimeError("another worker took a document that was kept from all")
    return held


def ingest_jobs(document_id: UUID) -> QuerySet[Job]:
    """Return the jobs that would ingest a document's versions; the caller has custody."""
    versions = Version.objects.filter(document_id=document_id)
    return Job.objects.filter(name="ingest.version", object_id__in=versions.values("pk"))


def _chunk(text: str) -> ingest.StoredChunk:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=settings.AMBIT_EMBED_DIMENSIONS)
    vector /= np.linalg.norm(vector)
    return ingest.StoredChunk(
        ordinal=0,
        char_start=0,
        char_end=len(text),
        page_first=None,
        page_last=None,
        n_tokens=len(text.split()),
        section="",
        text=text,
        embedded_text=text,
        vector=[float(v) for v in vector],
    )


def _make_tenant() -> tuple[UUID, str, UUID]:
    with acting_as(Actor("operator", None)):
        tenant, key = services.create_tenant(
            name="Test", slug=f"test-{uuid4().hex[:12]}", make_keys=create_tenant_keys
        )
    return tenant.pk, key.text, key.id


def _person(tenant_id: UUID, name: str, *, role: str = "member") -> Person:
    member: Member = services.create_member(
        external_id=name, email=f"{name}@example.test", name=name.title(), role=role
    )
    key = services.create_member_key(member_id=member.pk, name="own", scopes=services.MEMBER_SCOPES)
    return Person(key=key.text, id=member.pk, external_id=name, email=member.email)
