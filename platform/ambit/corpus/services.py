"""Write documents and versions on the request path. Permissions are the caller's: ambit.access.documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from ambit.corpus.models import Document, DocumentKey, State, Subject, Version
from ambit.corpus.queries import DocumentNotFound
from ambit.corpus.subjects import subject_mac
from ambit.corpus.types import MEDIA_TYPE, Upload
from ambit.corpus.vault import Vault, new_vault, vault_of
from ambit.files.store import FileName, remove, write
from ambit.jobs.kinds import INGEST_VERSION, REMOVE_DOCUMENT
from ambit.jobs.services import enqueue
from ambit.keys.sealing import keyed_hash
from tenants.audit import record
from tenants.ids import uuid7
from tenants.scope import current_tenant_id, custody_scope


class ExternalIdTaken(ValueError):
    """Those who may read it have a document of this external_id in the collection; nothing was stored."""


class NotRetryable(ValueError):
    """Only a failed version can be tried again."""


def receive_document(
    *, upload: Upload, collection_id: UUID, audience_id: UUID, own_grants: bool
) -> UUID:
    """Store an upload's original sealed and hand it to the workers; raise ExternalIdTaken."""
    with custody_scope():
        document_id = uuid7()
        vault, wrapped = new_vault(document_id=document_id)
        try:
            with transaction.atomic():
                document = Document.objects.create(
                    id=document_id,
                    collection_id=collection_id,
                    audience_id=audience_id,
                    own_grants=own_grants,
                    external_id=upload.external_id,
                    title_sealed=vault.seal(upload.title, object_id=document_id, name="title"),
                    metadata=upload.metadata,
                    created_by_id=upload.created_by_id,
                )
        except IntegrityError as error:
            if "document_external_id" not in str(error):
                raise
            raise ExternalIdTaken(upload.external_id) from error
        DocumentKey.objects.create(
            document_id=document_id, audience_id=audience_id, wrapped=wrapped
        )
        _write_subjects(document, upload)
        _receive_version(document, vault, upload, number=1)
        record("document.received", object_id=document_id, document_ids=[document_id])
    return document_id


def receive_version(*, document_id: UUID, upload: Upload) -> UUID:
    """Store new content for a document; what is found stays the old version until this one is ready."""
    with custody_scope():
        document = _lock(document_id)
        vault = vault_of(document_id)
        if vault is None:
            raise DocumentNotFound(document_id)
        latest = Version.objects.filter(document_id=document_id).latest("number")
        version_id = _receive_version(document, vault, upload, number=latest.number + 1)
        record("document.version_received", object_id=document_id, document_ids=[document_id])
    return version_id


def retry_version(*, document_id: UUID) -> None:
    """Try a failed version again; raise DocumentNotFound, NotRetryable."""
    with custody_scope():
        document = _lock(document_id)
        version_id = document.latest_version_id
        failed = Version.objects.filter(document_id=document_id, state=State.FAILED)
        if version_id is None or not failed.filter(pk=version_id).update(
            state=State.RECEIVED, reason="", reason_code="", failed_at=None
        ):
            raise NotRetryable(document_id)
        enqueue(INGEST_VERSION, object_id=version_id)
        record("document.retried", object_id=document_id, document_ids=[document_id])


def delete_document(*, document_id: UUID) -> None:
    """Hide a document from the commit on and hand its destruction to the workers."""
    with custody_scope():
        _lock(document_id)
        hide_documents(document_ids=[document_id])
        enqueue(REMOVE_DOCUMENT, object_id=document_id)
        record("document.deleted", object_id=document_id, document_ids=[document_id])


def delete_again(*, document_id: UUID) -> None:
    """Hide a document that was deleted before and is back from a backup, whatever hides it now; in custody."""
    hide_documents(document_ids=[document_id])
    enqueue(REMOVE_DOCUMENT, object_id=document_id)
    record("document.deleted", object_id=document_id, document_ids=[document_id])


def hide_documents(*, document_ids: Iterable[UUID]) -> int:
    """Hide documents for good and disable their keys, in custody and in the caller's transaction."""
    ids = list(document_ids)
    now = timezone.now()
    here = Q(hidden_at__isnull=True) | Q(withheld_at__isnull=False)
    # The external id is free again at once: refusing it would tell that the document was there.
    hidden = Document.objects.filter(here, pk__in=ids).update(
        hidden_at=Coalesce("hidden_at", now), withheld_at=None, external_id=None
    )
    _disable_keys(ids, now)
    return hidden


def withhold_documents(*, document_ids: Iterable[UUID]) -> int:
    """Hide documents as others are hidden, so that return_documents can bring them back.

    In custody and in the caller's transaction, who has locked them. What is hidden already is left.
    """
    ids = list(document_ids)
    now = timezone.now()
    withheld = Document.objects.filter(pk__in=ids, hidden_at__isnull=True).update(
        hidden_at=now, withheld_at=now
    )
    _disable_keys(ids, now)
    return withheld


def return_documents(*, document_ids: Iterable[UUID]) -> int:
    """Give withheld documents back to their readers; NEVER what was deleted or erased.

    In custody and in the caller's transaction, who has locked them. An external id that was given
    to another document meanwhile stays that one's. An ingest that was under way begins again.
    """
    found = Document.objects.filter(pk__in=list(document_ids), withheld_at__isnull=False)
    documents = list(found.order_by("pk"))
    for document in documents:
        _return(document)
    ids = [document.pk for document in documents]
    DocumentKey.objects.filter(document_id__in=ids).update(disabled_at=None)
    latest = [d.latest_version_id for d in documents if d.latest_version_id]
    for version in Version.objects.filter(pk__in=latest).exclude(state=State.FAILED):
        enqueue(INGEST_VERSION, object_id=version.pk)
    return len(ids)


def _return(document: Document) -> None:
    back = {"hidden_at": None, "withheld_at": None}
    row = Document.objects.filter(pk=document.pk)
    try:
        with transaction.atomic():
            row.update(**back)
    except IntegrityError as error:
        if "document_external_id" not in str(error):
            raise
        row.update(**back, external_id=None)


def _disable_keys(document_ids: list[UUID], now: datetime) -> None:
    keys = DocumentKey.objects.filter(document_id__in=document_ids, disabled_at__isnull=True)
    keys.update(disabled_at=now)


def lock_document(*, document_id: UUID) -> UUID:
    """Return the audience of a document that others wait to change until commit; raise DocumentNotFound."""
    with custody_scope():
        return _lock(document_id).audience_id


def lock_own_audiences(*, document_ids: Iterable[UUID]) -> set[UUID]:
    """Return the audiences of those documents that have grants of their own, locked in order of id."""
    with custody_scope():
        found = Document.objects.filter(pk__in=list(document_ids), own_grants=True)
        locked = found.select_for_update().order_by("pk")
        return set(locked.values_list("audience_id", flat=True))


def move_all(*, document_ids: Iterable[UUID], audience_id: UUID) -> None:
    """Give locked documents that have grants of their own another audience."""
    with custody_scope():
        found = Document.objects.filter(pk__in=list(document_ids), own_grants=True)
        found.update(audience_id=audience_id)


def move_to_audience(*, document_id: UUID, audience_id: UUID, own_grants: bool) -> None:
    """Give a document another audience; the database moves its chunks along.

    Raises DocumentNotFound, and ExternalIdTaken where that audience has the external id already.
    """
    with custody_scope():
        external_id = _lock(document_id).external_id
        try:
            with transaction.atomic():
                Document.objects.filter(pk=document_id).update(
                    audience_id=audience_id, own_grants=own_grants, updated_at=timezone.now()
                )
        except IntegrityError as error:
            if "document_external_id" not in str(error):
                raise
            raise ExternalIdTaken(external_id) from error


def _lock(document_id: UUID) -> Document:
    found = Document.objects.select_for_update().filter(pk=document_id, hidden_at=None).first()
    if found is None:
        raise DocumentNotFound(document_id)
    return found


def _receive_version(document: Document, vault: Vault, upload: Upload, *, number: int) -> UUID:
    tenant_id = current_tenant_id()
    version_id = uuid7()
    name = FileName(tenant_id, document.pk, version_id, "original")
    digest = hashlib.sha256()
    size = write(name, _digesting(upload.chunks, digest), key=vault.key)
    try:
        Version.objects.create(
            id=version_id,
            document_id=document.pk,
            audience_id=document.audience_id,
            number=number,
            file_name_sealed=vault.seal(upload.file_name, object_id=version_id, name="file_name"),
            declared_media_type=_declared(upload.media_type),
            language=upload.language or "",
            n_bytes=size,
            content_mac=keyed_hash(digest.digest(), tenant_id=tenant_id, purpose="content"),
        )
        Document.objects.filter(pk=document.pk).update(
            latest_version_id=version_id, updated_at=timezone.now()
        )
        enqueue(INGEST_VERSION, object_id=version_id)
    except BaseException:
        remove(name)
        raise
    return version_id


def _declared(media_type: str) -> str:
    """Return a sender's word for the format, or nothing where it cannot be one."""
    return media_type if len(media_type) <= 200 and MEDIA_TYPE.fullmatch(media_type) else ""


def _digesting(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _write_subjects(document: Document, upload: Upload) -> None:
    for subject in dict.fromkeys(upload.subjects):
        Subject.objects.get_or_create(
            document_id=document.pk,
            audience_id=document.audience_id,
            type=subject.type,
            value_mac=subject_mac(subject),
        )
