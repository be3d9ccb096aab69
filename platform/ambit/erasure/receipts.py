"""Receipts: signed once, kept byte for byte, named by their hash in the log and by the next one."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from django.utils import timezone

from ambit.audit.flow import trail_signer
from ambit.audit.proofs import read_head
from ambit.audit.receipts import FORMAT, WRITTEN, fingerprint, receipt_id
from ambit.erasure.models import Receipt
from tenants.audit import record


def sign_receipt(case_id: UUID, said: dict[str, Any]) -> int:
    """Sign what is said of a case as its next receipt, keep it for ever and return its number.

    In the caller's transaction, with the case locked. Raises KeyUnavailable where the log's key cannot be read.
    """
    signer, head = trail_signer(), read_head()
    before = Receipt.objects.filter(erasure_id=case_id).order_by("-serial").first()
    serial, written_at = (before.serial if before else 0) + 1, timezone.now()
    note = signer.sign_receipt(
        {
            **said,
            "serial": serial,
            "previous": fingerprint(before.note) if before else None,
            "written_at": written_at.isoformat(),
            "log": {
                "key": signer.key,
                "size": head.size,
                "root": base64.b64encode(head.root).decode(),
                "checkpoint": head.note,
            },
        }
    )
    made = Receipt.objects.create(
        id=receipt_id(note), erasure_id=case_id, serial=serial, written_at=written_at, note=note
    )
    record(WRITTEN, object_id=made.pk)
    return serial


def said_in(note: str) -> dict[str, Any]:
    """Return what a receipt says; its signature is not checked here. Pure."""
    said: dict[str, Any] = json.loads(note.removeprefix(f"{FORMAT}\n").partition("\n")[0])
    return said
