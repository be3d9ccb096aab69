"""What the corpus holds: documents about a person, and everything made from them.

A document is about who it declares as a subject; who merely uploaded it is not its subject. What is
left of a document is a tombstone without content, so that a late worker cannot bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from ambit.corpus.models import (
    Chunk,
    ChunkLexemes,
    ChunkVector,
    Document,
    DocumentKey,
    Mention,
    State,
    Subject,
    Version,
)
from ambit.corpus.vault import vault_of
from ambit.keys.keyring import KeyUnavailable
from ambit.keys.sealing import CannotOpen
from tenants.holding import Holding, Scope
from tenants.scope import audience_scope, current_tenant_id

# Type and keyed hash of an identifier, as documents declare it.
Declared = tuple[str, bytes]

# Compared as text, so that every row is read and no index that found them is trusted.
_PARTS_LEFT = """
SELECT count(*) FROM {table} WHERE tenant_id = %(tenant)s AND document_id::text = ANY (%(documents)s)
"""
_CHUNKS_LEFT = """
SELECT count(*) FROM corpus_chunk WHERE tenant_id = %(tenant)s AND version_id = ANY (
    SELECT id FROM corpus_version WHERE tenant_id = %(tenant)s
    AND document_id::text = ANY (%(documents)s))
"""
_DOCUMENTS_LEFT = """
SELECT count(*) FROM corpus_document
WHERE tenant_id = %(tenant)s AND id::text = ANY (%(documents)s)
  AND (title_sealed IS NOT NULL OR metadata <> '{}' OR external_id IS NOT NULL
       OR created_by_id IS NOT NULL OR hidden_at IS NULL OR erased_at IS NULL)
"""
_VERSIONS_LEFT = """
SELECT count(*) FROM corpus_version
WHERE tenant_id = %(tenant)s AND document_id::text = ANY (%(documents)s)
  AND (file_name_sealed IS NOT NULL OR length(content_mac) > 0 OR state <> 'erased'
       OR reason <> '' OR reason_code <> '' OR declared_media_type <> '' OR media_type <> ''
       OR language <> '')
"""
_UPLOADS_LEFT = """
SELECT count(*) FROM corpus_document
WHERE tenant_id = %(tenant)s AND created_by_id::text = ANY (%(members)s)
"""


class DocumentsUnknown(LookupError):
    """Documents were named that this tenant does not have; nothing was hidden."""

    def __init__(self, document_ids: Iterable[UUID]) -> None:
        self.document_ids = tuple(sorted(document_ids))
        super().__init__(f"{len(self.document_ids)} unknown documents")


def documents_declaring(
    subjects: Sequence[Declared], *, received_until: datetime | None = None
) -> set[UUID]:
    """Return the documents that declare any of these people, in custody; for none given, none."""
    matches = Q(pk__in=[])
    for kind, value_mac in subjects:
        matches |= Q(type=kind, value_mac=value_mac)
    found = set(Subject.objects.filter(matches).values_list("document_id", flat=True))
    if received_until is not None:
        in_time = Document.objects.filter(pk__in=found, created_at__lte=received_until)
        found = set(in_time.values_list("pk", flat=True))
    return found


def declaring_any(document_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the documents that declare anybody, in custody."""
    found = Subject.objects.filter(document_id__in=list(document_ids))
    return set(found.values_list("document_id", flat=True))


def require_documents(document_ids: Iterable[UUID]) -> None:
    """Raise DocumentsUnknown unless the tenant has every one of them, hidden and erased ones too."""
    wanted = set(document_ids)
    unknown = wanted - documents_here(wanted)
    if unknown:
        raise DocumentsUnknown(unknown)


def documents_here(document_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the documents that this tenant has, hidden and erased ones too, in custody."""
    return set(Document.objects.filter(pk__in=list(document_ids)).values_list("pk", flat=True))


def documents_gone(document_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the documents that are deleted, erased or about to be; the withheld are not."""
    found = Document.objects.filter(pk__in=list(document_ids), hidden_at__isnull=False)
    return set(found.filter(withheld_at__isnull=True).values_list("pk", flat=True))


def lock_documents(document_ids: Iterable[UUID]) -> None:
    """Wait for whoever writes these documents, in an order that two callers cannot cross."""
    found = Document.objects.select_for_update(no_key=True).filter(pk__in=list(document_ids))
    list(found.order_by("pk").values_list("pk", flat=True))


def versions_of(document_ids: Iterable[UUID]) -> tuple[UUID, ...]:
    """Return all versions of these documents, in custody."""
    found = Version.objects.filter(document_id__in=list(document_ids)).order_by("pk")
    return tuple(found.values_list("pk", flat=True))


def count_shared(document_ids: Iterable[UUID], *, subjects: Sequence[Declared]) -> int:
    """Return how many of the documents declare other identifiers beside these."""
    known = set(subjects)
    rows = Subject.objects.filter(document_id__in=list(document_ids)).values_list(
        "document_id", "type", "value_mac"
    )
    return len({document for document, kind, mac in rows if (kind, bytes(mac)) not in known})


@contextmanager
def _audiences_of(document_ids: Sequence[UUID]) -> Iterator[None]:
    """Reach what the documents' own readers reach, to count and destroy it, never to read it."""
    found = Document.objects.filter(pk__in=document_ids).values_list("audience_id", flat=True)
    with audience_scope(set(found)):
        yield


@contextmanager
def every_audience() -> Iterator[None]:
    """Reach what any reader of the tenant reaches, in custody: to count, destroy or offer, never to read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT audience_id FROM corpus_document WHERE tenant_id = %s",
            [current_tenant_id()],
        )
        audiences = [audience for (audience,) in cursor.fetchall()]
    with audience_scope(audiences):
        yield


def _passages(
    rows: Callable[[Scope], QuerySet[Any]], *, name: str, title: str, left: str, by: str
) -> Holding:
    """Describe a table of parts that only its document's readers reach."""

    def find(scope: Scope) -> int:
        with _audiences_of(scope.document_ids):
            return rows(scope).count()

    def destroy(scope: Scope) -> None:
        with _audiences_of(scope.document_ids):
            rows(scope).delete()

    def remains(scope: Scope) -> int:
        if not scope.document_ids:
            return 0
        with every_audience():
            return _count(left, scope)

    return Holding(
        name=name,
        title=title,
        found_by="the document's id, in the reach of its own readers",
        destroyed_by="deletion of the rows",
        verified_by=by,
        find=find,
        destroy=destroy,
        remains=remains,
    )


def _documents(scope: Scope) -> QuerySet[Document]:
    return Document.objects.filter(pk__in=scope.document_ids, erased_at__isnull=True)


def _bury_documents(scope: Scope) -> None:
    now = timezone.now()
    _documents(scope).filter(hidden_at__isnull=True).update(hidden_at=now)
    _documents(scope).update(
        title_sealed=None,
        metadata={},
        external_id=None,
        created_by_id=None,
        current_version_id=None,
        erased_at=now,
    )


def _versions(scope: Scope) -> QuerySet[Version]:
    return Version.objects.filter(document_id__in=scope.document_ids).exclude(state=State.ERASED)


def _bury_versions(scope: Scope) -> None:
    _versions(scope).update(
        state=State.ERASED,
        reason_code="",
        reason="",
        file_name_sealed=None,
        declared_media_type="",
        media_type="",
        language="",
        content_mac=b"",
        n_bytes=0,
        n_pages=None,
        n_chunks=None,
        n_chunks_embedded=0,
        n_mentions=None,
    )


def _subjects(scope: Scope) -> QuerySet[Subject]:
    return Subject.objects.filter(document_id__in=scope.document_ids)


def _mentions(scope: Scope) -> QuerySet[Mention]:
    return Mention.objects.filter(document_id__in=scope.document_ids)


def _keys(scope: Scope) -> QuerySet[DocumentKey]:
    return DocumentKey.objects.filter(document_id__in=scope.document_ids)


def _opens(document_id: UUID) -> bool:
    try:
        return vault_of(document_id) is not None
    except (CannotOpen, KeyUnavailable):
        # There is a key, though it does not open now.
        return True


def _uploads(scope: Scope) -> QuerySet[Document]:
    return Document.objects.filter(created_by_id__in=scope.member_ids)


def _count(statement: str, scope: Scope) -> int:
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "documents": [str(one) for one in scope.document_ids],
        "members": [str(one) for one in scope.member_ids],
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        (n,) = cursor.fetchone()
    return int(n)


DOCUMENT_KEYS = Holding(
    name="document_keys",
    title="Keys that open the documents' texts, titles and files",
    found_by="the document's id",
    destroyed_by="deletion of the wrapped keys: what they opened is ciphertext without a key",
    verified_by="an attempt to open each document's key",
    find=lambda scope: _keys(scope).count(),
    destroy=lambda scope: _keys(scope).delete(),
    remains=lambda scope: sum(_opens(document_id) for document_id in scope.document_ids),
)
VECTORS = _passages(
    lambda scope: ChunkVector.objects.filter(document_id__in=scope.document_ids),
    name="vectors",
    title="Vectors that search by meaning compares",
    left=_PARTS_LEFT.format(table="corpus_chunkvector"),
    by="every vector of the tenant, read row by row in the reach of all its readers",
)
LEXEMES = _passages(
    lambda scope: ChunkLexemes.objects.filter(document_id__in=scope.document_ids),
    name="search_words",
    title="Keyed words that search by text compares",
    left=_PARTS_LEFT.format(table="corpus_chunklexemes"),
    by="every entry of the tenant, read row by row in the reach of all its readers",
)
CHUNKS = _passages(
    lambda scope: Chunk.objects.filter(document_id__in=scope.document_ids),
    name="chunk_texts",
    title="Sealed pieces of the documents' texts",
    left=_CHUNKS_LEFT,
    by="the documents' versions, in the reach of all of the tenant's readers",
)
SUBJECTS = Holding(
    name="declared_subjects",
    title="Keyed hashes of the people the documents declare",
    found_by="the document's id",
    destroyed_by="deletion of the rows",
    verified_by="every declaration of the tenant, read row by row",
    find=lambda scope: _subjects(scope).count(),
    destroy=lambda scope: _subjects(scope).delete(),
    remains=lambda scope: _count(_PARTS_LEFT.format(table="corpus_subject"), scope),
)
MENTIONS = Holding(
    name="mentions",
    title="Keyed hashes of identifiers that stand in the documents",
    found_by="the document's id",
    destroyed_by="deletion of the rows",
    verified_by="every mention of the tenant, read row by row",
    find=lambda scope: _mentions(scope).count(),
    destroy=lambda scope: _mentions(scope).delete(),
    remains=lambda scope: _count(_PARTS_LEFT.format(table="corpus_mention"), scope),
)
VERSIONS = Holding(
    name="versions",
    title="Versions: file names, types, fingerprints of the content, reasons of failure",
    found_by="the document's id, where not yet marked as erased",
    destroyed_by="emptying every describing column; an empty tombstone stays, against late workers",
    verified_by="every version of the tenant, read row by row for anything but an empty tombstone",
    find=lambda scope: _versions(scope).count(),
    destroy=_bury_versions,
    remains=lambda scope: _count(_VERSIONS_LEFT, scope),
)
DOCUMENTS = Holding(
    name="documents",
    title="Document records: title, metadata, external id, uploader",
    found_by="the subjects that documents declare, or the ids in the request",
    destroyed_by="emptying every describing column; an empty tombstone stays, against late workers",
    verified_by="every document of the tenant, read row by row for anything but an empty tombstone",
    find=lambda scope: _documents(scope).count(),
    destroy=_bury_documents,
    remains=lambda scope: _count(_DOCUMENTS_LEFT, scope),
)
UPLOADS = Holding(
    name="uploader_links",
    title="The member's mark as uploader of documents",
    found_by="the member's id",
    destroyed_by="taking the mark off; the documents stay",
    verified_by="every document of the tenant, read row by row",
    find=lambda scope: _uploads(scope).count(),
    destroy=lambda scope: _uploads(scope).update(created_by_id=None),
    remains=lambda scope: _count(_UPLOADS_LEFT, scope),
)
