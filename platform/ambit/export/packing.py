"""What the workers write about an export while they make it, under the lease of its job.

A killed worker's successor begins again with a file of its own; only the file that the row names
was ever finished, and the others are removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from ambit.export.models import Export, ExportItem, ExportState
from ambit.export.services import NAMED
from ambit.export.types import Order
from ambit.files.store import FileName, folder_of, list_files, write
from ambit.jobs.kinds import EXPORT_END
from ambit.jobs.services import Claim, enqueue, finish, hold
from ambit.keys.sealing import open_data_key, open_text
from tenants.audit import record
from tenants.scope import current_tenant_id, tenant_scope

KIND = "export"
BATCH_ROWS = 1000


class NothingToPack(RuntimeError):
    """The export is over, or was never committed: its job is finished without doing anything."""


def take_up(held: Claim) -> Order:
    """Begin an attempt, with nothing left of the ones before; raise NothingToPack, ClaimLost."""
    with tenant_scope(held.tenant_id):
        hold(held)
        row = _wanted(held.object_id)
        # What was begun has a place: where that is missing later, the store is out of reach.
        folder = folder_of(tenant_id=held.tenant_id, document_id=held.object_id)
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        row.attempts = held.attempt
        row.save(update_fields=["attempts"])
        key = open_data_key(
            bytes(row.wrapped_key or b""), tenant_id=row.tenant_id, object_id=row.pk
        )
        value = open_text(
            key,
            bytes(row.named_sealed or b""),
            tenant_id=row.tenant_id,
            object_id=row.pk,
            field=NAMED,
        )
    discard(held)
    return Order(
        id=row.pk,
        tenant_id=row.tenant_id,
        file_id=held.lease,
        subject_type=row.subject_type,
        subject_value=value,
        subject_hash=bytes(row.subject_mac).hex(),
        include_shared=row.include_shared,
        received_at=row.received_at,
        key=key,
    )


def note_contents(
    order: Order,
    *,
    member_id: UUID | None,
    document_ids: Iterable[UUID],
    n_originals: int,
    n_left_out: int,
) -> None:
    """Note what goes in before any file of it is read, so that an erasure of it finds the archive.

    In the caller's transaction; raises NothingToPack.
    """
    row = _wanted(order.id)
    ids = list(document_ids)
    row.member_id, row.n_documents = member_id, len(ids)
    row.n_originals, row.n_left_out, row.n_written = n_originals, n_left_out, 0
    row.save()
    ExportItem.objects.bulk_create(
        [ExportItem(export_id=order.id, document_id=one) for one in ids],
        batch_size=BATCH_ROWS,
        ignore_conflicts=True,
    )


def note_progress(order: Order, held: Claim, *, n_written: int) -> None:
    """Note how many originals are in; raise ClaimLost, NothingToPack."""
    with tenant_scope(order.tenant_id):
        hold(held)
        if not _unfinished(order.id).update(n_written=n_written):
            raise NothingToPack(order.id)


def write_archive(order: Order, content: Iterator[bytes]) -> int:
    """Seal and store the archive as it is made; return its size. Raises NothingToPack after its end."""
    try:
        return write(file_of(order.tenant_id, order.id, order.file_id), content, key=order.key)
    except (FileExistsError, NotADirectoryError) as error:
        # Its end puts a file where the folder was, against late workers.
        raise NothingToPack(order.id) from error


def discard(held: Claim) -> None:
    """Remove what was written for an export that is over: nothing opens it any more."""
    for path in list_files(tenant_id=held.tenant_id, document_id=held.object_id):
        path.unlink(missing_ok=True)


def mark_ready(order: Order, held: Claim, *, n_bytes: int) -> None:
    """Hand the archive out, for some days, and finish its job, in the caller's transaction.

    Raises NothingToPack, ClaimLost.
    """
    hold(held)
    row = _wanted(order.id)
    row.state, row.ready_at = ExportState.READY, timezone.now()
    row.expires_at = row.ready_at + timedelta(days=settings.AMBIT_EXPORT_DAYS)
    row.file_id, row.n_bytes, row.n_written = order.file_id, n_bytes, row.n_originals
    row.save()
    record("export.ready", object_id=order.id, counts={"document": row.n_documents})
    enqueue(EXPORT_END, object_id=order.id, run_after=row.expires_at)
    finish(held)


def file_of(tenant_id: UUID, export_id: UUID, file_id: UUID) -> FileName:
    """Return the name of an attempt's file."""
    return FileName(tenant_id, export_id, file_id, KIND)


def _wanted(export_id: UUID) -> Export:
    row = _unfinished(export_id).select_for_update().first()
    if row is None:
        raise NothingToPack(f"export of tenant {current_tenant_id()}")
    return row


def _unfinished(export_id: UUID) -> QuerySet[Export]:
    return Export.objects.filter(
        pk=export_id, state=ExportState.RECEIVED, wrapped_key__isnull=False
    )
