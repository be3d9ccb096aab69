"""The workers' part of a history: texts that say whose they are, made found without models."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import connections

from ambit.corpus import ingest
from ambit.jobs import services as jobs
from ambit.jobs.kinds import ERASE, INGEST_VERSION, REMOVE_DOCUMENT
from ambit.jobs.models import Job
from tenants.audit import Actor, acting_as
from tests.database.worlds import unit
from workers.erase import flow

COMMON = "harbor"
_TEXT = re.compile(rf"{COMMON} zq(\w+?)v(\d+)")


def text_of(document: str, version: int) -> str:
    """Return what a version says: a word that every document has, and one of its own."""
    return f"{COMMON} zq{document}v{version}"


def said_by(text: str) -> tuple[str, int]:
    """Return the document and version that say a text."""
    found = _TEXT.fullmatch(text)
    return (found[1], int(found[2])) if found else (text, 0)


def do_what_waits(tenant_id: UUID, *, destroy: bool) -> None:
    """Do a tenant's jobs, oldest first; those that destroy may wait, as they have a queue of their own."""
    with acting_as(Actor("worker", None)):
        for job_id, name in _waiting(tenant_id):
            if destroy or name == INGEST_VERSION.name:
                held = jobs.claim(tenant_id=tenant_id, job_id=job_id)
                if held is not None:
                    do_job(held)


def ingest_newest(tenant_id: UUID) -> None:
    """Do the newest ingest job of the tenant in scope, in its transaction."""
    job = Job.objects.filter(name=INGEST_VERSION.name).latest("id")
    held = jobs.claim(tenant_id=tenant_id, job_id=job.pk)
    assert held is not None
    _ingest(held)


def do_job(held: jobs.Claim) -> None:
    """Do a job as a worker does; a text is one chunk, with a made-up vector."""
    if held.kind.name == ERASE.name:
        flow.erase(held)
    elif held.kind.name == REMOVE_DOCUMENT.name:
        flow.remove(held)
    else:
        _ingest(held)


def _ingest(held: jobs.Claim) -> None:
    try:
        source = ingest.open_source(held)
        text = b"".join(source.read()).decode()
        ingest.store_chunks(held, source=source, chunks=[_chunk(text)], text=text)
    except ingest.NothingToDo:
        ingest.drop_job(held)


def _waiting(tenant_id: UUID) -> list[tuple[UUID, str]]:
    statement = "SELECT id, name FROM jobs_job WHERE tenant_id = %s ORDER BY id"
    with connections["dispatch"].cursor() as cursor:
        cursor.execute(statement, [tenant_id])
        return list(cursor.fetchall())


def _chunk(text: str) -> ingest.StoredChunk:
    return ingest.StoredChunk(
        ordinal=0,
        char_start=0,
        char_end=len(text),
        page_first=None,
        page_last=None,
        n_tokens=2,
        section="",
        text=text,
        embedded_text=text,
        vector=unit(0).tolist(),
    )
