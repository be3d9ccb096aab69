"""What people wrote about a case, sealed, without the identifiers of whom it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal
from uuid import UUID

from ambit.keys.keyring import KeyUnavailable
from ambit.keys.sealing import new_data_key, open_data_key, open_text, seal_text
from tenants.scope import current_tenant_id

Field = Literal["reason", "extension", "refusal"]
REMOVED = "[subject]"
UNREADABLE = "(Sealed: the tenant's keys cannot be reached now.)"


class ReasonMissing(ValueError):
    """A request gives no reason; nothing was changed."""


def required(reason: str) -> str:
    """Return a reason's words; raise ReasonMissing for a blank one."""
    words = reason.strip()
    if not words:
        raise ReasonMissing
    return words


def without(reason: str, identifiers: Iterable[str]) -> str:
    """Take the person's identifiers out of the words of a reason, wherever they stand alone."""
    for text in sorted({i.strip() for i in identifiers if i.strip()}, key=len, reverse=True):
        reason = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", REMOVED, reason, flags=re.IGNORECASE)
    return reason


def seal_reason(reason: str, identifiers: Iterable[str], *, object_id: UUID, field: Field) -> bytes:
    """Seal a reason under a key of its own, which is kept wrapped in front of it."""
    tenant_id = current_tenant_id()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=object_id)
    text = without(reason, identifiers)
    sealed = seal_text(key, text, tenant_id=tenant_id, object_id=object_id, field=field)
    return len(wrapped).to_bytes(2, "big") + wrapped + sealed


def open_reason(kept: bytes | memoryview | None, *, object_id: UUID, field: Field) -> str:
    """Open a reason; empty when there is none."""
    sealed = bytes(kept or b"")
    if not sealed:
        return ""
    tenant_id = current_tenant_id()
    end = 2 + int.from_bytes(sealed[:2], "big")
    key = open_data_key(sealed[2:end], tenant_id=tenant_id, object_id=object_id)
    return open_text(key, sealed[end:], tenant_id=tenant_id, object_id=object_id, field=field)


def read_reason(kept: bytes | memoryview | None, *, object_id: UUID, field: Field) -> str:
    """Open a reason to show it, or say that it cannot be read now: the case is shown all the same."""
    try:
        return open_reason(kept, object_id=object_id, field=field)
    except KeyUnavailable:
        return UNREADABLE
