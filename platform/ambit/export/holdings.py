"""What exports hold: copies of what a person's documents and record say, sealed under a key of their own.

What is left of a destroyed one says that it was there, for whom as a keyed hash, and why it is over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from ambit.export.models import Export, ExportItem, ExportState
from ambit.export.types import End
from ambit.files.holdings import bury
from ambit.files.store import folder_of
from ambit.jobs.kinds import EXPORT, EXPORT_END
from ambit.jobs.services import cancel
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import current_tenant_id

NAME = "exports"
# Compared as text, so that every row is read and no index that found them is trusted.
_LEFT = """
SELECT id FROM export_export
WHERE tenant_id = %(tenant)s
  AND (wrapped_key IS NOT NULL OR named_sealed IS NOT NULL OR file_id IS NOT NULL
       OR member_id IS NOT NULL OR state NOT IN ('expired', 'failed'))
  AND (id::text = ANY (%(exports)s) OR member_id::text = ANY (%(members)s) OR id IN (
       SELECT export_id FROM export_exportitem
       WHERE tenant_id = %(tenant)s AND document_id::text = ANY (%(documents)s)))
"""

_BEGUN = """
SELECT count(*) FROM export_export WHERE tenant_id = %s AND id::text = ANY (%s) AND attempts > 0
"""


def exports_about(
    declared: Sequence[tuple[str, bytes]],
    *,
    document_ids: Iterable[UUID],
    member_ids: Iterable[UUID],
) -> tuple[UUID, ...]:
    """Return the archives asked for a person or made from one of these documents; for nothing, none."""
    matches = Q(member_id__in=list(member_ids)) | Q(pk__in=_with(document_ids))
    for kind, mac in declared:
        matches |= Q(subject_type=kind, subject_mac=mac)
    found = _live().filter(matches).order_by("pk")
    return tuple(found.values_list("pk", flat=True))


def destroy_exports(export_ids: Iterable[UUID], *, because: End) -> list[Export]:
    """Destroy archives: keys and identifiers with this transaction, files at once; return which.

    One that was not made yet, and will not be for another reason than an erasure, has failed.
    Raises HoldingFailed where the file store is not there.
    """
    ids = sorted(export_ids)
    for one in ids:
        # Work is locked before what it is on, as by the worker who does it.
        cancel(EXPORT, object_id=one)
        cancel(EXPORT_END, object_id=one)
    rows = list(_live().select_for_update().filter(pk__in=ids).order_by("pk"))
    for row in rows:
        failed = row.state == ExportState.RECEIVED and because != "erasure"
        _bury_file(row)
        row.state = ExportState.FAILED if failed else ExportState.EXPIRED
        row.ended_because, row.ended_at = because, timezone.now()
        row.wrapped_key = row.named_sealed = row.file_id = row.member_id = None
        row.save()
    return rows


def stop_handing_out(export_ids: Iterable[UUID]) -> None:
    """Let no archive of these go out from this transaction's commit on; a worker destroys them after."""
    _live().filter(pk__in=list(export_ids)).update(expires_at=timezone.now())


def _bury_file(row: Export) -> None:
    folder = folder_of(tenant_id=row.tenant_id, document_id=row.pk)
    if not folder.parent.is_dir():
        # A tenant without any file has no folder yet; what was begun must be somewhere.
        if row.attempts:
            raise HoldingFailed(NAME)
        return
    try:
        bury(folder)
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _live() -> QuerySet[Export]:
    return Export.objects.filter(wrapped_key__isnull=False)


def _with(document_ids: Iterable[UUID]) -> QuerySet[ExportItem, Any]:
    items = ExportItem.objects.filter(document_id__in=list(document_ids))
    return items.values("export_id")


def _covered(scope: Scope) -> QuerySet[Export]:
    return _live().filter(
        Q(pk__in=scope.export_ids)
        | Q(member_id__in=scope.member_ids)
        | Q(pk__in=_with(scope.document_ids))
    )


def _destroy(scope: Scope) -> None:
    destroy_exports(_covered(scope).values_list("pk", flat=True), because="erasure")


def _remains(scope: Scope) -> int:
    """Count rows that still say or open anything, and files below any name that holds an export's id."""
    if not scope:
        return 0
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "exports": [str(one) for one in scope.export_ids],
        "members": [str(one) for one in scope.member_ids],
        "documents": [str(one) for one in scope.document_ids],
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
        n_rows = len(cursor.fetchall())
    return n_rows + _files_left(scope)


def _files_left(scope: Scope) -> int:
    names = {str(one) for one in scope.export_ids}
    root = Path(settings.AMBIT_ORIGINALS_DIR) / str(scope.tenant_id)
    if not names:
        return 0
    if not root.is_dir():
        if _n_begun(scope):
            raise HoldingFailed(NAME)
        return 0
    try:
        return sum(
            os.stat(os.path.join(place, file)).st_size > 0
            for place, _, files in os.walk(root)
            for file in files
            if any(name in place or name in file for name in names)
        )
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _n_begun(scope: Scope) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_BEGUN, [current_tenant_id(), [str(one) for one in scope.export_ids]])
        (n,) = cursor.fetchone()
    return int(n)


EXPORTS = Holding(
    name=NAME,
    title="Archives made for the person, or with one of the documents in them (Art. 15 GDPR)",
    found_by="the person's identifiers, and the documents that each archive was made from",
    destroyed_by="deletion of the files, of the key that opens them and of whom they were about",
    verified_by="every export of the tenant, read row by row, and the names of all its files",
    find=lambda scope: _covered(scope).count(),
    destroy=_destroy,
    remains=_remains,
)
