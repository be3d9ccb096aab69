"""What the workers' ingest reads and writes, in custody of the document it works on.

A late or second worker is fenced twice: by its lease on the job, without which nothing is written,
and by the document's row, which must still be there, unhidden, with this version as its latest, when
the result is stored. The job's row is always locked before the document's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from django.conf import settings
from django.utils import timezone
from pgvector import HalfVector

from ambit.corpus.identifiers import Mention as Found
from ambit.corpus.identifiers import find_mentions
from ambit.corpus.lexemes import word_vectors
from ambit.corpus.mentions import mention_mac
from ambit.corpus.models import (
    Chunk,
    ChunkLexemes,
    ChunkVector,
    Document,
    Mention,
    State,
    Version,
)
from ambit.corpus.types import Embedding
from ambit.corpus.vault import Vault, vault_of
from ambit.files.store import FileName, read, remove, write
from ambit.jobs.services import Claim, finish, hold, put_back
from ambit.keys.sealing import keyed_hash
from tenants.audit import record
from tenants.ids import uuid7
from tenants.scope import audience_scope, current_tenant_id, tenant_scope

BATCH_ROWS = 500
# A document with more counts as one that was not looked through.
MAX_MENTIONS = 10_000


class NothingToDo(RuntimeError):
    """The version is ready, replaced or gone: its job is finished without doing anything."""


@dataclass(frozen=True, slots=True)
class Source:
    """What there is to ingest."""

    document_id: UUID
    version_id: UUID
    vault: Vault
    title: str = field(repr=False)
    file_name: str = field(repr=False)
    media_type: str
    # As declared; empty: to be found from the text.
    language: str
    # What else was said of it: the external id, and the values of its metadata.
    described: tuple[str, ...] = field(repr=False)

    def read(self) -> Iterator[bytes]:
        """Yield the original's bytes; raise FileMissing."""
        return read(self._file("original"), key=self.vault.key)

    def write_text(self, text: str) -> None:
        """Store the extracted text beside the original, sealed; raise NothingToDo after an erasure."""
        try:
            write(self._file("text"), [text.encode()], key=self.vault.key)
        except (FileExistsError, NotADirectoryError) as error:
            # An erasure puts a file where the document's folder was, against late workers.
            raise NothingToDo(self.version_id) from error

    def _file(self, kind: str) -> FileName:
        return FileName(self.vault.tenant_id, self.document_id, self.version_id, kind)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with its vector, ready to be stored; offsets count characters of the extracted text."""

    ordinal: int
    char_start: int
    char_end: int
    page_first: int | None
    page_last: int | None
    n_tokens: int
    section: str = field(repr=False)
    text: str = field(repr=False)
    embedded_text: str = field(repr=False)
    vector: Embedding = field(repr=False)


def open_source(held: Claim) -> Source:
    """Begin an attempt and return what to ingest; raise NothingToDo, ClaimLost."""
    with tenant_scope(held.tenant_id, custody=True):
        hold(held)
        document, version = _still_wanted(held.object_id)
        vault = vault_of(document.pk)
        if version.state == State.READY:
            # A worker died between the commit that made it so and the end of its job.
            _remove_older_files(held.tenant_id, document.pk, version.number)
            raise NothingToDo(held.object_id)
        if vault is None:
            raise NothingToDo(held.object_id)
        Version.objects.filter(pk=version.pk).update(
            attempts=held.attempt, state=State.RECEIVED, n_chunks_embedded=0
        )
        return Source(
            document_id=document.pk,
            version_id=version.pk,
            vault=vault,
            title=vault.open(document.title_sealed, object_id=document.pk, name="title"),
            file_name=vault.open(version.file_name_sealed, object_id=version.pk, name="file_name"),
            media_type=version.declared_media_type,
            language=version.language,
            described=(document.external_id or "", *_values(document.metadata)),
        )


def mark_parsed(held: Claim, *, media_type: str, n_pages: int | None) -> None:
    """Note that the text is extracted; raise ClaimLost."""
    _mark(
        held, state=State.PARSED, parsed_at=timezone.now(), media_type=media_type, n_pages=n_pages
    )


def mark_chunked(held: Claim, *, n_chunks: int) -> None:
    """Note how many chunks there are; raise ClaimLost."""
    _mark(held, state=State.CHUNKED, chunked_at=timezone.now(), n_chunks=n_chunks)


def mark_progress(held: Claim, *, n_chunks_embedded: int) -> None:
    """Note how many chunks have vectors by now; raise ClaimLost."""
    _mark(held, n_chunks_embedded=n_chunks_embedded)


def mark_embedded(held: Claim, *, n_chunks: int) -> None:
    """Note that every chunk has a vector; raise ClaimLost."""
    _mark(held, state=State.EMBEDDED, embedded_at=timezone.now(), n_chunks_embedded=n_chunks)


def known_vectors(held: Claim, *, texts: Sequence[str]) -> dict[str, list[float]]:
    """Return vectors of texts that this tenant and audience already has: they are not embedded twice.

    Raises NothingToDo. Looks no further than the document's own audience, so that ingest time says nothing of others.
    """
    macs = {embedded_mac(t, tenant_id=held.tenant_id): t for t in texts}
    with tenant_scope(held.tenant_id, custody=True):
        document, _ = _still_wanted(held.object_id)
        with audience_scope([document.audience_id]):
            found = Chunk.objects.filter(
                audience_id=document.audience_id, embedded_mac__in=list(macs)
            ).values_list("pk", "embedded_mac")
            text_of = {pk: macs[bytes(mac)] for pk, mac in found}
            vectors = ChunkVector.objects.filter(pk__in=list(text_of)).values_list(
                "pk", "embedding"
            )
            return {text_of[pk]: vector for pk, vector in vectors}


def store_chunks(
    held: Claim,
    *,
    source: Source,
    chunks: Sequence[StoredChunk],
    text: str | None = None,
    language: str | None = None,
) -> None:
    """Store a version's text and chunks and make them what search finds, in one transaction.

    language: by which its words are stemmed; None: as declared, or else AMBIT_LANGUAGE.

    The version before goes in the same transaction: no moment in which neither or both are found.
    Raises NothingToDo, ClaimLost.
    """
    # Before the transaction: a long text takes a second.
    mentions = find_mentions(
        [text] if text is not None else [c.text for c in chunks],
        labels=[source.title, source.file_name, *source.described],
    )
    with tenant_scope(held.tenant_id, custody=True):
        hold(held)
        document, version = _still_wanted(held.object_id, lock=True)
        language = language or version.language or settings.AMBIT_LANGUAGE
        if text is not None:
            # Only now: a deletion waits for this lock, so that no file can come after it.
            source.write_text(text)
        with audience_scope([document.audience_id]):
            replaced = _remove_chunks(document.pk)
            _insert(document, version.pk, source.vault, chunks, language=language)
            _insert_mentions(document, mentions[:MAX_MENTIONS])
        now = timezone.now()
        Version.objects.filter(pk=version.pk).update(
            state=State.READY,
            ready_at=now,
            language=language,
            n_chunks_embedded=len(chunks),
            n_mentions=len(mentions) if len(mentions) <= MAX_MENTIONS else None,
        )
        Document.objects.filter(pk=document.pk).update(
            current_version_id=version.pk, updated_at=now
        )
        record(
            "document.ready",
            object_id=document.pk,
            document_ids=[document.pk],
            counts={"chunks": len(chunks), "replaced": replaced},
        )
        first = version.number == 1
        if first:
            finish(held)
    if not first:
        # The job lasts until these are gone: a worker that dies here leaves none behind.
        _remove_older_files(held.tenant_id, document.pk, version.number)
        drop_job(held)


def fail_version(held: Claim, *, code: str, reason: str) -> None:
    """End a version as failed with a reason a person understands; its original stays.

    Raises NothingToDo, ClaimLost.
    """
    with tenant_scope(held.tenant_id, custody=True):
        hold(held)
        document, version = _still_wanted(held.object_id, lock=True)
        if version.state == State.READY:
            raise NothingToDo(held.object_id)
        Version.objects.filter(pk=version.pk).update(
            state=State.FAILED, failed_at=timezone.now(), reason_code=code, reason=reason[:500]
        )
        record("document.failed", object_id=document.pk, document_ids=[document.pk])
        finish(held)


def drop_job(held: Claim) -> None:
    """Finish a job that has nothing to do, or put it back where there is something by now."""
    with tenant_scope(held.tenant_id, custody=True):
        # Behind whoever gives the document back to its readers at this moment.
        of_version = Version.objects.filter(pk=held.object_id).values("document_id")
        list(Document.objects.select_for_update(no_key=True).filter(pk__in=of_version))
        if not _is_wanted(held.object_id):
            finish(held)
            return
    put_back(held, delay_s=0, counted=False)


def _is_wanted(version_id: UUID) -> bool:
    try:
        _, version = _still_wanted(version_id)
    except NothingToDo:
        return False
    return version.state not in {State.READY, State.FAILED}


def embedded_mac(text: str, *, tenant_id: UUID) -> bytes:
    """Return the keyed hash by which an embedded text is recognised."""
    return keyed_hash(text.encode(), tenant_id=tenant_id, purpose="embedded")


def _still_wanted(version_id: UUID, *, lock: bool = False) -> tuple[Document, Version]:
    version = Version.objects.filter(pk=version_id).first()
    if version is None:
        raise NothingToDo(version_id)
    documents = Document.objects.select_for_update() if lock else Document.objects.all()
    document = documents.filter(
        pk=version.document_id, hidden_at__isnull=True, latest_version_id=version_id
    ).first()
    if document is None:
        raise NothingToDo(version_id)
    return document, version


def _mark(held: Claim, **values: object) -> None:
    """Note how far it has come and renew the lease, so that a late worker unsays nothing."""
    with tenant_scope(held.tenant_id, custody=True):
        hold(held)
        Version.objects.filter(pk=held.object_id).update(**values)


def _remove_chunks(document_id: UUID) -> int:
    Mention.objects.filter(document_id=document_id).delete()
    ChunkVector.objects.filter(document_id=document_id).delete()
    ChunkLexemes.objects.filter(document_id=document_id).delete()
    removed, _ = Chunk.objects.filter(document_id=document_id).delete()
    return removed


def _insert(
    document: Document,
    version_id: UUID,
    vault: Vault,
    chunks: Sequence[StoredChunk],
    *,
    language: str,
) -> None:
    tenant_id = current_tenant_id()
    of = {"tenant_id": tenant_id, "document_id": document.pk, "audience_id": document.audience_id}
    ids = [uuid7() for _ in chunks]
    Chunk.objects.bulk_create(
        [
            Chunk(
                id=chunk_id,
                version_id=version_id,
                ordinal=c.ordinal,
                char_start=c.char_start,
                char_end=c.char_end,
                page_first=c.page_first,
                page_last=c.page_last,
                n_tokens=c.n_tokens,
                body_sealed=vault.seal_chunk(chunk_id=chunk_id, text=c.text, section=c.section),
                embedded_mac=embedded_mac(c.embedded_text, tenant_id=tenant_id),
                **of,
            )
            for chunk_id, c in zip(ids, chunks, strict=True)
        ],
        batch_size=BATCH_ROWS,
    )
    ChunkVector.objects.bulk_create(
        [
            ChunkVector(id=chunk_id, embedding=HalfVector(np.asarray(c.vector)), **of)
            for chunk_id, c in zip(ids, chunks, strict=True)
        ],
        batch_size=BATCH_ROWS,
    )
    words = word_vectors([f"{c.section}\n{c.text}" for c in chunks], language=language)
    ChunkLexemes.objects.bulk_create(
        [
            ChunkLexemes(id=chunk_id, words=found, **of)
            for chunk_id, found in zip(ids, words, strict=True)
        ],
        batch_size=BATCH_ROWS,
    )


def _insert_mentions(document: Document, mentions: Sequence[Found]) -> None:
    Mention.objects.bulk_create(
        [
            Mention(
                document_id=document.pk,
                audience_id=document.audience_id,
                kind=found.kind,
                value_mac=mention_mac(found),
            )
            for found in mentions
        ],
        batch_size=BATCH_ROWS,
    )


def _values(metadata: object) -> Iterator[str]:
    """Yield the values in a JSON value, at any depth."""
    if isinstance(metadata, dict | list):
        for value in metadata.values() if isinstance(metadata, dict) else metadata:
            yield from _values(value)
    elif isinstance(metadata, str | int | float):
        yield str(metadata)


def _remove_older_files(tenant_id: UUID, document_id: UUID, number: int) -> None:
    with tenant_scope(tenant_id, custody=True):
        older = Version.objects.filter(document_id=document_id, number__lt=number)
        ids = list(older.values_list("pk", flat=True))
    for version_id in ids:
        for kind in ("original", "text"):
            remove(FileName(tenant_id, document_id, version_id, kind))
