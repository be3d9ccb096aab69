"""Receive exports and end them. What is in one is the workers' (workers/export)."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from ambit.export.holdings import destroy_exports
from ambit.export.models import Export, ExportState
from ambit.export.types import End
from ambit.jobs.kinds import EXPORT
from ambit.jobs.services import enqueue
from ambit.keys.sealing import new_data_key, seal_text
from tenants.audit import record
from tenants.scope import current_tenant_id

NAMED = "export_subject"


def open_export(
    *,
    export_id: UUID,
    subject_type: str,
    subject_value: str,
    subject_mac: bytes,
    member_id: UUID | None,
    include_shared: bool,
    reason_sealed: bytes,
    requested_by: tuple[str, UUID | None],
) -> None:
    """Note whom an export is about, sealed under the key of the archive, and hand it to the workers."""
    tenant_id = current_tenant_id()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=export_id)
    kind, by_id = requested_by
    Export.objects.create(
        id=export_id,
        subject_type=subject_type,
        subject_mac=subject_mac,
        member_id=member_id,
        include_shared=include_shared,
        reason_sealed=reason_sealed,
        requested_by_kind=kind,
        requested_by_id=by_id,
        wrapped_key=wrapped,
        named_sealed=seal_text(
            key, subject_value, tenant_id=tenant_id, object_id=export_id, field=NAMED
        ),
        received_at=timezone.now(),
    )
    record("export.requested", object_id=export_id)
    enqueue(EXPORT, object_id=export_id)


def end_export(*, export_id: UUID, because: End) -> None:
    """Destroy an archive, or say that it could not be made; one that is over is left as it is.

    Raises HoldingFailed where its file is out of reach, and then nothing is said to be destroyed.
    """
    for row in destroy_exports([export_id], because=because):
        failed = row.state == ExportState.FAILED
        record("export.failed" if failed else "export.destroyed", object_id=export_id)
