"""Copy what was signed to a folder that whoever administers the database cannot rewrite.

One file per tenant and day, appended to and never changed: an append-only directory, a share of another
machine or a WORM volume will do. verify.py reads the files as they are.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from ambit.audit.sequence import SEQUENCER
from ambit.audit.verify import NOTE_END
from tenants.ids import public_id

logger = logging.getLogger(__name__)

COPIED_AT_ONCE = 1000
_BEHIND = "SELECT tenant_id, copied_size FROM audit_log WHERE copied_size < size ORDER BY tenant_id"
_NOTES = """
SELECT size, at, note FROM audit_checkpoint WHERE tenant_id = %s AND size > %s ORDER BY size LIMIT %s
"""
_COPIED = "UPDATE audit_log SET copied_size = %s, copied_at = %s WHERE tenant_id = %s"

Note = tuple[int, datetime, str]


def copy_checkpoints() -> int:
    """Append all checkpoints that are not outside yet, and return how many were.

    What cannot be written is logged and stays due. After a kill some may be written twice; none is left out.
    """
    n_copied = 0
    for tenant_id, copied_size in select_rows(_BEHIND, []):
        try:
            n_copied += _copy(tenant_id, copied_size)
        except OSError as error:
            names = {"tenant_id": str(tenant_id), "error": type(error).__name__}
            logger.error("audit.copy_failed", extra=names | {"errno": error.errno})  # noqa: TRY400
    return n_copied


def folder_of(tenant_id: UUID) -> Path:
    """Return where a tenant's copies are."""
    return Path(settings.AMBIT_AUDIT_COPIES_DIR) / public_id("tenant", tenant_id)


def _copy(tenant_id: UUID, copied_size: int) -> int:
    n_copied = 0
    while notes := select_notes(tenant_id, above=copied_size, limit=COPIED_AT_ONCE):
        for day, own in groupby(notes, _day):
            _append(folder_of(tenant_id) / f"{day}.notes", list(own))
        copied_size = notes[-1][0]
        with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
            cursor.execute(_COPIED, [copied_size, timezone.now(), tenant_id])
        n_copied += len(notes)
    return n_copied


def _day(note: Note) -> str:
    return note[1].astimezone(UTC).date().isoformat()


def _append(path: Path, notes: Sequence[Note]) -> None:
    made = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    text = "".join(note.rstrip("\n") + NOTE_END for _, _, note in notes).encode()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        if _is_torn(handle):
            text = NOTE_END.encode() + text
        written = 0
        while written < len(text):
            written += os.write(handle, text[written:])
        os.fsync(handle)
    finally:
        os.close(handle)
    if made:
        _sync(path.parent)


def _is_torn(handle: int) -> bool:
    size = os.fstat(handle).st_size
    end = NOTE_END.encode()
    return size > 0 and os.pread(handle, len(end), max(0, size - len(end))) != end


def _sync(folder: Path) -> None:
    for place in (folder, folder.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def select_notes(tenant_id: UUID, *, above: int, limit: int) -> list[Note]:
    """Return a tenant's checkpoints of more events than so many, in their order."""
    return select_rows(_NOTES, [tenant_id, above, limit])


def select_rows(statement: str, values: list[Any]) -> list[Any]:
    """Return what the sequencer's login is answered."""
    with connections[SEQUENCER].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
