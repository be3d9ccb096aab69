"""Read documents. Passage text leaves through ambit.corpus.search alone; originals through read_content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from ambit.corpus.filters import filtered
from ambit.corpus.models import Document, DocumentKey, Version
from ambit.corpus.types import (
    UNFILTERED,
    Clearance,
    CurrentVersion,
    DocumentView,
    Filters,
    VersionView,
)
from ambit.corpus.vault import Vault, open_vault
from ambit.files.store import FileMissing, FileName, read
from tenants.scope import audience_scope, current_tenant_id, custody_scope

_VISIBLE = "SELECT id FROM corpus_document WHERE tenant_id = %s AND id = ANY (%s)"
_VISIBLE_AND_HELD = _VISIBLE + " ORDER BY id FOR SHARE"


class DocumentNotFound(LookupError):
    """There is no such document, or none the caller may see: the two are not told apart."""


class ContentNotReady(LookupError):
    """The document has no such content yet: its first version is still on its way, or failed."""


class WrongClearance(RuntimeError):
    """A clearance of one tenant was used in another's scope."""


@contextmanager
def reading(clearance: Clearance) -> Iterator[None]:
    """See what a clearance reaches until the block ends; raise WrongClearance."""
    if clearance.tenant_id != current_tenant_id():
        raise WrongClearance("the clearance is of another tenant")
    with audience_scope(clearance.audience_ids):
        yield


def get_document(*, document_id: UUID, clearance: Clearance) -> DocumentView:
    """Return a document the clearance reaches; raise DocumentNotFound."""
    with reading(clearance):
        return _one(Document.objects.filter(pk=document_id), document_id)


def get_document_as_custodian(*, document_id: UUID) -> DocumentView:
    """Return any document of the tenant, hidden and erased ones too, for its administrators."""
    with custody_scope():
        return _one(Document.objects.filter(pk=document_id), document_id)


def titles_of(document_ids: Iterable[UUID], *, clearance: Clearance) -> dict[UUID, str]:
    """Return the titles of those of the documents that the clearance reaches."""
    with reading(clearance):
        views = _views(list(Document.objects.filter(pk__in=list(document_ids))))
    return {view.id: view.title for view in views}


def list_documents(
    *,
    clearance: Clearance,
    after: UUID | None,
    limit: int,
    filters: Filters = UNFILTERED,
) -> list[DocumentView]:
    """Return the documents a clearance reaches, newest first."""
    with reading(clearance):
        return _page(filtered(Document.objects.all(), filters), after, limit)


def list_documents_as_custodian(
    *,
    after: UUID | None,
    limit: int,
    filters: Filters = UNFILTERED,
    state: str | None = None,
) -> list[DocumentView]:
    """Return the tenant's documents newest first, without the erased, for its administrators."""
    with custody_scope():
        found = Document.objects.filter(erased_at__isnull=True)
        if state:
            ids = Version.objects.filter(state=state).values("pk")
            found = found.filter(latest_version_id__in=ids)
        if filters.metadata:
            # What a hidden document's record no longer shows must not be found out by asking for it.
            found = found.filter(hidden_at__isnull=True)
        return _page(filtered(found, filters), after, limit)


def visible_documents(
    *, document_ids: Iterable[UUID], clearance: Clearance, locking: bool = True
) -> set[UUID]:
    """Return those of the documents that the clearance reaches now, and hold them so until commit.

    Shared row locks: what is being hidden at this moment is waited for, and then not returned. Without locking
    nobody is waited for, and what is committed is all that counts: for who asks again after each commit.
    """
    statement = _VISIBLE_AND_HELD if locking else _VISIBLE
    with reading(clearance), connection.cursor() as cursor:
        cursor.execute(statement, [current_tenant_id(), list(document_ids)])
        return {row[0] for row in cursor.fetchall()}


def current_versions(
    *, document_ids: Iterable[UUID], clearance: Clearance
) -> dict[UUID, CurrentVersion]:
    """Return what is found now of those of the documents that the clearance reaches."""
    with reading(clearance):
        audiences = dict(
            Document.objects.filter(
                pk__in=list(document_ids), current_version_id__isnull=False
            ).values_list("current_version_id", "audience_id")
        )
        rows = Version.objects.filter(pk__in=list(audiences))
        return {
            row.document_id: CurrentVersion(row.pk, row.number, audiences[row.pk]) for row in rows
        }


def some_wait_hidden(*, document_ids: Iterable[UUID]) -> bool:
    """Say whether any of the documents is hidden and not destroyed: it may be about to be, or come back."""
    with custody_scope():
        hidden = Document.objects.filter(hidden_at__isnull=False, erased_at__isnull=True)
        return hidden.filter(pk__in=list(document_ids)).exists()


def some_documents_in(*, audience_id: UUID) -> list[UUID]:
    """Return up to two documents in an audience, hidden ones too: it is none's, one's alone or several's."""
    with custody_scope():
        found = Document.objects.filter(audience_id=audience_id).order_by("-pk")
        return list(found.values_list("pk", flat=True)[:2])


def read_content(
    *, document_id: UUID, clearance: Clearance, kind: str = "original"
) -> tuple[DocumentView, Iterator[bytes]]:
    """Return a document and its current original's, or extracted text's, bytes.

    Raises DocumentNotFound, ContentNotReady. The bytes may be read after the transaction.
    """
    with reading(clearance):
        document = _one(Document.objects.filter(pk=document_id), document_id)
        wrapped = _wrapped_keys([document_id]).get(document_id)
    version = document.current
    if version is None or wrapped is None:
        raise ContentNotReady(document_id)
    vault = open_vault(document_id=document_id, wrapped=wrapped)
    name = FileName(current_tenant_id(), document_id, version.id, kind)
    try:
        return document, read(name, key=vault.key)
    except FileMissing as error:
        raise ContentNotReady(document_id) from error


def _page(found: QuerySet[Document], after: UUID | None, limit: int) -> list[DocumentView]:
    if after:
        found = found.filter(pk__lt=after)
    return _views(list(found.order_by("-id")[:limit]))


def _one(found: QuerySet[Document], document_id: UUID) -> DocumentView:
    views = _views(list(found))
    if not views:
        raise DocumentNotFound(document_id)
    return views[0]


def _views(documents: list[Document]) -> list[DocumentView]:
    versions = _versions(documents)
    keys = _wrapped_keys([d.pk for d in documents])
    return [_view(d, versions, keys.get(d.pk)) for d in documents]


def _versions(documents: list[Document]) -> dict[UUID, Version]:
    ids = {d.current_version_id for d in documents} | {d.latest_version_id for d in documents}
    wanted = [i for i in ids if i is not None]
    return {v.pk: v for v in Version.objects.filter(pk__in=wanted)}


def _wrapped_keys(document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    found = DocumentKey.objects.filter(document_id__in=document_ids)
    return {k.document_id: bytes(k.wrapped) for k in found}


def _view(document: Document, versions: dict[UUID, Version], wrapped: bytes | None) -> DocumentView:
    latest = versions[document.latest_version_id]  # type: ignore[index]  # set with the document
    current = versions.get(document.current_version_id) if document.current_version_id else None
    hidden = document.hidden_at is not None
    # What is being deleted or erased is a state and its times to administrators too, and no more.
    vault = None if hidden or not wrapped else open_vault(document_id=document.pk, wrapped=wrapped)
    return DocumentView(
        id=document.pk,
        collection_id=document.collection_id,
        audience_id=document.audience_id,
        own_grants=document.own_grants,
        external_id=None if hidden else document.external_id,
        title=_open(vault, document.title_sealed, document.pk, "title"),
        file_name=_open(vault, latest.file_name_sealed, latest.pk, "file_name"),
        metadata={} if hidden else document.metadata,
        current=_version_view(current, hidden=hidden) if current else None,
        latest=_version_view(latest, hidden=hidden),
        created_at=document.created_at,
        updated_at=document.updated_at,
        hidden_at=document.hidden_at,
        withheld_at=document.withheld_at,
        erased_at=document.erased_at,
    )


def _open(
    vault: Vault | None, sealed: bytes | memoryview | None, object_id: UUID, name: str
) -> str:
    return vault.open(sealed, object_id=object_id, name=name) if vault else ""


def _version_view(version: Version, *, hidden: bool) -> VersionView:
    return VersionView(
        id=version.pk,
        number=version.number,
        state=version.state,
        reason_code=version.reason_code,
        reason=version.reason,
        attempts=version.attempts,
        media_type=version.media_type or version.declared_media_type,
        language="" if hidden else version.language,
        n_bytes=version.n_bytes,
        n_pages=version.n_pages,
        n_chunks=version.n_chunks,
        n_chunks_embedded=version.n_chunks_embedded,
        received_at=version.received_at,
        parsed_at=version.parsed_at,
        chunked_at=version.chunked_at,
        embedded_at=version.embedded_at,
        ready_at=version.ready_at,
        failed_at=version.failed_at,
    )
