"""Make tenants, people and documents through the product's own services, committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document
from ambit.access.services import create_collection
from ambit.access.types import GrantSpec, PrincipalRef, RoleName
from ambit.corpus.ingest import StoredChunk, open_source, store_chunks
from ambit.corpus.types import SubjectRef, Upload
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from ambit.keys.keyring import create_tenant_keys
from tenants import services
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope

Vector = NDArray[np.float32]
WHOLE_TENANT = PrincipalRef()


@dataclass(frozen=True, slots=True)
class Passage:
    """What a test stores as one chunk."""

    text: str
    vector: Vector


def make_tenant(name: str = "Tenant") -> UUID:
    """Create a tenant with a slug of its own, as the operator."""
    with acting_as(Actor("operator", None)):
        tenant, _ = services.create_tenant(
            name=name, slug=f"t{uuid4().hex[:16]}", make_keys=create_tenant_keys
        )
    return tenant.pk


@contextmanager
def working(
    tenant_id: UUID, *, member_id: UUID | None = None, custody: bool = False
) -> Iterator[None]:
    """Work in a tenant's scope as its service; everything is committed at the end."""
    scope = partial(tenant_scope, tenant_id, custody=custody)
    with acting_as(Actor("service", None)), scope(member_id=member_id):
        yield


def make_member(name: str = "someone", *, role: str = "member") -> UUID:
    """Add a member to the tenant in scope."""
    unique = f"{name}-{uuid4().hex[:8]}"
    return services.create_member(
        external_id=unique, email=f"{unique}@example.org", name=name, role=role
    ).pk


def make_group(*, members: Iterable[UUID] = (), groups: Iterable[UUID] = ()) -> UUID:
    """Add a group with members and inner groups to the tenant in scope."""
    group_id = services.create_group(external_id=uuid4().hex, name="a group").pk
    for member_id in members:
        services.add_to_group(group_id=group_id, member_id=member_id)
    for child_id in groups:
        services.nest_group(parent_id=group_id, child_id=child_id)
    return group_id


def grant(role: RoleName, *, member: UUID | None = None, group: UUID | None = None) -> GrantSpec:
    """Return a grant for a member, a group or, with neither, the whole tenant."""
    return GrantSpec(PrincipalRef(member_id=member, group_id=group), role)


def make_collection(*grants: GrantSpec) -> UUID:
    """Add a collection of a name of its own to the tenant in scope."""
    return create_collection(name=f"c-{uuid4().hex}", grants=grants)


def publish(
    *,
    tenant_id: UUID,
    by: UUID,
    collection_id: UUID,
    passages: Sequence[Passage],
    grants: Sequence[GrantSpec] | None = None,
    subjects: tuple[SubjectRef, ...] = (),
    metadata: dict[str, Any] | None = None,
    language: str | None = None,
    title: str = "A document",
    external_id: str | None = None,
) -> UUID:
    """Upload a document and ingest it with the given vectors, in one transaction of its own."""
    with working(tenant_id):
        document_id = upload_document(
            clearance=clearance_for(member_id=by),
            collection_id=collection_id,
            upload=Upload(
                title=title,
                file_name="document.txt",
                media_type="text/plain",
                chunks=["\n".join(p.text for p in passages).encode()],
                metadata=metadata or {},
                language=language,
                external_id=external_id,
                subjects=subjects,
                created_by_id=by,
            ),
            grants=grants,
        )
        ingest(tenant_id=tenant_id, passages=passages)
    return document_id


def ingest(*, tenant_id: UUID, passages: Sequence[Passage]) -> None:
    """Do the newest ingest job of the tenant in scope with the given vectors."""
    job = Job.objects.filter(name="ingest.version").latest("id")
    held = claim(tenant_id=tenant_id, job_id=job.pk)
    assert held is not None
    source = open_source(held)
    source.write_text("\n".join(p.text for p in passages))
    starts = np.cumsum([0, *(len(p.text) + 1 for p in passages)])
    chunks = [
        StoredChunk(
            ordinal=n,
            char_start=int(starts[n]),
            char_end=int(starts[n]) + len(p.text),
            page_first=None,
            page_last=None,
            n_tokens=5,
            section="",
            text=p.text,
            embedded_text=p.text,
            vector=p.vector.tolist(),
        )
        for n, p in enumerate(passages)
    ]
    store_chunks(held, source=source, chunks=chunks)


def random_vectors(n: int, *, seed: int) -> NDArray[np.float32]:
    """Return n unit vectors in the precision in which they are stored."""
    found = np.random.default_rng(seed).normal(size=(n, settings.AMBIT_EMBED_DIMENSIONS))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float16).astype(np.float32)


def unit(axis: int) -> Vector:
    """Return the unit vector along one axis."""
    vector = np.zeros(settings.AMBIT_EMBED_DIMENSIONS, dtype=np.float32)
    vector[axis] = 1
    return vector
