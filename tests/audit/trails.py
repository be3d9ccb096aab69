"""Write events, take them out as a tenant does, and check them as somebody else would."""

from __future__ import annotations

import json
import time
from pathlib import Path
from uuid import UUID

from ambit.audit.export import exported_events
from ambit.audit.flow import keep_trail
from ambit.audit.models import Checkpoint, Log
from ambit.audit.verify import NOTE_END, Key, Report, check_trail
from tenants.audit import record
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.database.worlds import working

PATIENCE_S = 30


def add_events(tenant_id: UUID, n: int) -> None:
    """Record so many events in one transaction."""
    with working(tenant_id):
        for number in range(n):
            record("search", counts={"n": number})


def sign_all(tenant_id: UUID) -> None:
    """Have all of a tenant's events signed, as soon as transactions of other tests have ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        keep_trail()
        with tenant_scope(tenant_id):
            sizes = [log.size for log in Log.objects.all()]
            if sizes == [AuditEvent.objects.count()]:
                return
        time.sleep(0.05)
    raise TimeoutError("the events are not signed")


def exported(tenant_id: UUID, folder: Path) -> Path:
    """Write a tenant's events and checkpoints into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tenant_scope(tenant_id):
        notes = Checkpoint.objects.order_by("size").values_list("note", flat=True)
        text = "".join(note.rstrip("\n") + NOTE_END for note in notes)
        lines = [json.dumps(line) for line in exported_events()]
    (folder / "checkpoints.notes").write_text(text)
    (folder / "events.jsonl").write_text("\n".join(lines))
    return folder


def checked(folder: Path, key: Key, *kept: Path) -> Report:
    """Check an export against its own checkpoints, or against those that were kept."""
    return check_trail(folder / "events.jsonl", list(kept) or [folder], key)
