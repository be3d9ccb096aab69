"""Read exports, and hand an archive out while its days last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from ambit.corpus.holdings import documents_gone
from ambit.export.models import Export, ExportItem, ExportState
from ambit.export.packing import file_of
from ambit.export.types import ExportView
from ambit.files.store import FileMissing, read
from ambit.keys.sealing import open_data_key
from tenants.ids import public_id
from tenants.scope import current_tenant_id, custody_scope, tenant_scope

# Frames of 256 KiB that are sent before it is looked again whether the archive may still go out.
FRAMES_AT_ONCE = 4


class ExportNotFound(LookupError):
    """There is no such export in this tenant."""


class ExportNotReady(LookupError):
    """The archive is still being made."""


class ExportOver(LookupError):
    """The archive was destroyed, or could not be made."""


def get_export(*, export_id: UUID) -> ExportView:
    """Return an export of the tenant in scope; raise ExportNotFound."""
    return _view(_one(export_id))


def list_exports(*, after: UUID | None, limit: int) -> list[ExportView]:
    """Return the tenant's exports newest first, from the one after a cursor."""
    found = Export.objects.order_by("-pk")
    return [_view(row) for row in (found.filter(pk__lt=after) if after else found)[:limit]]


def read_archive(*, export_id: UUID) -> tuple[ExportView, Iterator[bytes]]:
    """Return an export and its archive's bytes, to be read after the transaction.

    Raises ExportNotFound, ExportNotReady, ExportOver. An archive that is destroyed while it is sent
    ends in an error: what was erased does not go on leaving.
    """
    row = _one(export_id)
    if row.state == ExportState.RECEIVED:
        raise ExportNotReady(export_id)
    if not _may_go_out(row.state, row.expires_at) or _holds_what_is_gone(export_id):
        raise ExportOver(export_id)
    tenant_id = current_tenant_id()
    key = open_data_key(bytes(row.wrapped_key or b""), tenant_id=tenant_id, object_id=row.pk)
    try:
        frames = read(file_of(tenant_id, row.pk, row.file_id or row.pk), key=key)
    except (FileMissing, NotADirectoryError) as error:
        raise ExportOver(export_id) from error
    return _view(row), _while_ready(tenant_id, export_id, frames)


def download_headers(export: ExportView) -> dict[str, str]:
    """Return the headers an archive is sent with; its name names nobody. Pure."""
    name = f"{public_id('export', export.id)}.zip"
    return {
        "Content-Type": "application/zip",
        "Content-Length": str(export.n_bytes),
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _while_ready(tenant_id: UUID, export_id: UUID, frames: Iterator[bytes]) -> Iterator[bytes]:
    for number, frame in enumerate(frames):
        if number and number % FRAMES_AT_ONCE == 0:
            with tenant_scope(tenant_id):
                row = _one(export_id)
                if not _may_go_out(row.state, row.expires_at) or _holds_what_is_gone(export_id):
                    raise ExportOver(export_id)
        yield frame


def _may_go_out(state: str, expires_at: datetime | None) -> bool:
    in_time = expires_at is not None and expires_at > timezone.now()
    return state == ExportState.READY and in_time


def _holds_what_is_gone(export_id: UUID) -> bool:
    """Say whether a document in the archive was deleted or erased: it goes no more, at once."""
    items = ExportItem.objects.filter(export_id=export_id).values_list("document_id", flat=True)
    with custody_scope():
        return bool(documents_gone(items))


def _one(export_id: UUID) -> Export:
    row = Export.objects.filter(pk=export_id).first()
    if row is None:
        raise ExportNotFound(export_id)
    return row


def _view(row: Export) -> ExportView:
    # Between its last moment and the worker that destroys it nobody gets it any more.
    over = row.state == ExportState.READY and not _may_go_out(row.state, row.expires_at)
    return ExportView(
        id=row.pk,
        state="expired" if over else row.state,  # type: ignore[arg-type]  # the column's choices are StateName
        subject_type=row.subject_type,
        subject_hash=bytes(row.subject_mac).hex(),
        include_shared=row.include_shared,
        reason_sealed=bytes(row.reason_sealed),
        requested_by_kind=row.requested_by_kind,
        requested_by_id=row.requested_by_id,
        received_at=row.received_at,
        ready_at=row.ready_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_because="time" if over else row.ended_because,
        attempts=row.attempts,
        n_documents=row.n_documents,
        n_originals=row.n_originals,
        n_written=row.n_written,
        n_left_out=row.n_left_out,
        n_bytes=row.n_bytes,
    )
