"""What the corpus has of a person, to be told to that person (Art. 15 GDPR).

In custody, as an erasure finds it: also what a hold or a restriction hides from every reader. What is
deleted or erased for good is not given out, and NEVER anything to anybody but the person's archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet

from ambit.corpus.holdings import Declared, documents_gone
from ambit.corpus.models import Chunk, ChunkLexemes, ChunkVector, Document, Subject, Version
from ambit.corpus.queries import DocumentNotFound
from ambit.corpus.vault import Vault, vault_of
from ambit.files.store import FileMissing, FileName, read
from tenants.scope import audience_scope, current_tenant_id


@dataclass(frozen=True, slots=True)
class DisclosedVersion:
    """One content of a document; whether its original is still kept."""

    id: UUID
    number: int
    state: str
    file_name: str = field(repr=False)
    media_type: str
    language: str
    n_bytes: int
    n_pages: int | None
    received_at: datetime
    has_original: bool


@dataclass(frozen=True, slots=True)
class DisclosedDocument:
    """A document, and what was made from it."""

    id: UUID
    collection_id: UUID
    own_grants: bool
    external_id: str | None = field(repr=False)
    title: str = field(repr=False)
    metadata: dict[str, Any] = field(repr=False)
    created_at: datetime
    updated_at: datetime
    created_by_id: UUID | None
    withheld: bool
    # As keyed hashes: whom it declares.
    declares: frozenset[Declared]
    versions: tuple[DisclosedVersion, ...]
    n_passages: int
    n_vectors: int
    n_word_indexes: int


def disclose_document(document_id: UUID) -> DisclosedDocument:
    """Return a document of the tenant; raise DocumentNotFound for what is gone for good."""
    document = Document.objects.filter(pk=document_id).first()
    vault = vault_of(document_id)
    if document is None or vault is None or documents_gone([document_id]):
        raise DocumentNotFound(document_id)
    with audience_scope([document.audience_id]):
        counts = [_n(model, document_id) for model in (Chunk, ChunkVector, ChunkLexemes)]
    return DisclosedDocument(
        id=document.pk,
        collection_id=document.collection_id,
        own_grants=document.own_grants,
        external_id=document.external_id,
        title=vault.open(document.title_sealed, object_id=document.pk, name="title"),
        metadata=document.metadata,
        created_at=document.created_at,
        updated_at=document.updated_at,
        created_by_id=document.created_by_id,
        withheld=document.withheld_at is not None,
        declares=frozenset(_declares(document_id)),
        versions=tuple(_versions(document, vault)),
        n_passages=counts[0],
        n_vectors=counts[1],
        n_word_indexes=counts[2],
    )


def declared_others(
    document_ids: Iterable[UUID], *, own: Sequence[Declared]
) -> dict[UUID, frozenset[Declared]]:
    """Return whom each of the documents declares beside a person, as keyed hashes; only where it does."""
    known = set(own)
    found: dict[UUID, set[Declared]] = {}
    rows = Subject.objects.filter(document_id__in=list(document_ids))
    for document_id, kind, mac in rows.values_list("document_id", "type", "value_mac"):
        if (kind, bytes(mac)) not in known:
            found.setdefault(document_id, set()).add((kind, bytes(mac)))
    return {document_id: frozenset(others) for document_id, others in found.items()}


def people_declared(*, beside: Iterable[Declared]) -> frozenset[Declared]:
    """Return everybody whom any document of the tenant declares, as keyed hashes, but for one person."""
    rows = Subject.objects.values_list("type", "value_mac").distinct()
    return frozenset((kind, bytes(mac)) for kind, mac in rows) - set(beside)


def read_original(document_id: UUID, version_id: UUID) -> Iterator[bytes]:
    """Return the bytes of a version's original, to be read after the transaction.

    Raises DocumentNotFound for what is gone, its file included.
    """
    vault = vault_of(document_id)
    if vault is None or documents_gone([document_id]):
        raise DocumentNotFound(document_id)
    name = FileName(current_tenant_id(), document_id, version_id, "original")
    try:
        return read(name, key=vault.key)
    except (FileMissing, NotADirectoryError) as error:
        raise DocumentNotFound(document_id) from error


def _declares(document_id: UUID) -> Iterator[Declared]:
    rows = Subject.objects.filter(document_id=document_id)
    for kind, mac in rows.values_list("type", "value_mac"):
        yield kind, bytes(mac)


def _versions(document: Document, vault: Vault) -> Iterator[DisclosedVersion]:
    for row in Version.objects.filter(document_id=document.pk).order_by("number"):
        yield DisclosedVersion(
            id=row.pk,
            number=row.number,
            state=row.state,
            file_name=vault.open(row.file_name_sealed, object_id=row.pk, name="file_name"),
            media_type=row.media_type or row.declared_media_type,
            language=row.language,
            n_bytes=row.n_bytes,
            n_pages=row.n_pages,
            received_at=row.received_at,
            has_original=_has_original(document.pk, row.pk),
        )


def _has_original(document_id: UUID, version_id: UUID) -> bool:
    # Those of replaced versions are removed when the newer one is ready.
    name = FileName(current_tenant_id(), document_id, version_id, "original")
    return name.path.is_file()


def _n(model: type[Model], document_id: UUID) -> int:
    found: QuerySet[Model] = model._default_manager.filter(document_id=document_id)  # noqa: SLF001 - Django's name
    return found.count()
