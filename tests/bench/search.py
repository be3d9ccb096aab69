"""Search over HTTP at 20,000 chunks: authentication, embedding, clearance, search, audit, all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tests.bench.corpus import percentiles
from tests.bench.service import ROOT, Api, Service, Tenant
from tests.bench.texts import embedded_texts, questions, short_texts

N_CHUNKS, CHUNKS_PER_DOCUMENT = 20_000, 50
N_EMBEDDED = 2_000
N_QUESTIONS = 300
# How far a copy of a real vector is moved: its cosine to the original is about .9.
NOISE = 0.025


@dataclass(frozen=True)
class Latency:
    """Milliseconds at the caller."""

    what: str
    p50: float
    p95: float


def measure(service: Service, tenant: Tenant, *, n_audiences: int = 1) -> list[Latency]:
    """Fill a collection, then ask one by one, and four at a time."""
    member = tenant.member(f"searcher-{n_audiences}")
    collection = tenant.collection(
        f"search-{n_audiences}", [{"principal": f"member:{member}", "role": "owner"}]
    )
    fill(service, tenant, member=member, collection=collection, n_audiences=n_audiences)
    api = tenant.acting_for(member)
    asked = questions(N_QUESTIONS)
    for question in asked[:20]:
        _ask(api, question)
    alone = [_ask(api, question) for question in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda question: _ask(api, question), asked))
    name = f"{N_CHUNKS} chunks, {n_audiences} audiences"
    return [
        Latency(f"{name}, one at a time", *percentiles(alone)),
        Latency(f"{name}, four at a time", *percentiles(together)),
    ]


def _ask(api: Api, question: str) -> float:
    started = time.monotonic()
    found = api.call("POST", "/v1/search", json={"query": question, "k": 10})["results"]
    milliseconds = 1000 * (time.monotonic() - started)
    if len(found) != 10:
        raise SystemExit(f"{len(found)} passages were found instead of 10")
    return milliseconds


def fill(
    service: Service,
    tenant: Tenant,
    *,
    member: str,
    collection: str,
    n_audiences: int,
    n_chunks: int = N_CHUNKS,
) -> None:
    """Store the chunks through the domain's own functions, in a process of the running Ambit."""
    variables = {"AMBIT_DATA_DIR": str(service.folder), "AMBIT_LOG_LEVEL": "WARNING"}
    values = [tenant.id, member, collection, str(n_audiences), str(n_chunks)]
    subprocess.run(
        [sys.executable, "-m", "tests.bench.search", *values],
        cwd=ROOT,
        env=os.environ | variables | {"DJANGO_SETTINGS_MODULE": "ambit.config.settings"},
        check=True,
    )


def _fill(tenant: str, member: str, collection: str, n_audiences: int, n_chunks: int) -> None:
    import django

    django.setup()

    from ambit.inference.embedding import embed_passages

    texts = embedded_texts(short_texts(n_chunks // 10))[:n_chunks]
    real = np.asarray(embed_passages(texts[:N_EMBEDDED]))
    random = np.random.default_rng(7)
    for start in range(0, n_chunks, CHUNKS_PER_DOCUMENT):
        numbers = np.arange(start, start + CHUNKS_PER_DOCUMENT)
        vectors = real[numbers % len(real)]
        if start >= len(real):
            vectors = vectors + random.normal(0, NOISE, vectors.shape)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        _store(
            tenant_id=_id("tenant", tenant),
            member_id=_id("member", member),
            collection_id=_id("collection", collection),
            texts=[texts[n % len(texts)] for n in numbers],
            vectors=vectors,
            audience=(start // CHUNKS_PER_DOCUMENT) % n_audiences,
        )


def _id(kind: str, text: str) -> UUID:
    from tenants.ids import parse_id

    found = parse_id(kind, text)
    assert found is not None
    return found


def _store(
    *,
    tenant_id: UUID,
    member_id: UUID,
    collection_id: UUID,
    texts: list[str],
    vectors: NDArray[Any],
    audience: int,
) -> None:
    from ambit.access.clearance import clearance_for
    from ambit.access.documents import upload_document
    from ambit.access.types import GrantSpec, PrincipalRef
    from ambit.corpus.ingest import StoredChunk, open_source, store_chunks
    from ambit.corpus.types import Upload
    from ambit.jobs.models import Job
    from ambit.jobs.services import claim
    from tenants.audit import Actor, acting_as
    from tenants.scope import tenant_scope
    from tenants.services import create_group

    grants = None
    with acting_as(Actor("service", None)), tenant_scope(tenant_id):
        if audience:
            group = create_group(external_id=f"g{audience}-{time.monotonic_ns()}", name="a group")
            grants = [
                GrantSpec(PrincipalRef(member_id=member_id), "owner"),
                GrantSpec(PrincipalRef(group_id=group.pk), "reader"),
            ]
        upload_document(
            clearance=clearance_for(member_id=member_id),
            collection_id=collection_id,
            upload=Upload("A document", "document.txt", "text/plain", ["\n".join(texts).encode()]),
            grants=grants,
        )
        job = Job.objects.filter(name="ingest.version").latest("id")
        held = claim(tenant_id=tenant_id, job_id=job.pk)
        assert held is not None
        chunks = [
            StoredChunk(
                ordinal=n,
                char_start=0,
                char_end=len(text),
                page_first=None,
                page_last=None,
                n_tokens=200,
                section="",
                text=text,
                embedded_text=text,
                vector=vector,
            )
            for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]
        store_chunks(held, source=open_source(held), chunks=chunks)


if __name__ == "__main__":
    _fill(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]))
