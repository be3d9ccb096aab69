"""Seal and open what belongs to one document, under that document's key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ambit.corpus.models import DocumentKey
from ambit.keys import sealing
from tenants.scope import current_tenant_id


@dataclass(frozen=True, slots=True)
class Vault:
    """A document's opened key."""

    tenant_id: UUID
    document_id: UUID
    key: bytes = field(repr=False)

    def seal(self, text: str, *, object_id: UUID, name: str) -> bytes:
        """Seal a text for one field of one row."""
        return sealing.seal_text(
            self.key, text, tenant_id=self.tenant_id, object_id=object_id, field=name
        )

    def open(self, sealed: bytes | memoryview | None, *, object_id: UUID, name: str) -> str:
        """Open a field; empty when there is none."""
        if sealed is None:
            return ""
        return sealing.open_text(
            self.key, bytes(sealed), tenant_id=self.tenant_id, object_id=object_id, field=name
        )

    def seal_chunk(self, *, chunk_id: UUID, text: str, section: str) -> bytes:
        """Seal a chunk's text and section."""
        body = json.dumps({"text": text, "section": section}, ensure_ascii=False)
        return self.seal(body, object_id=chunk_id, name="chunk")

    def open_chunk(self, sealed: bytes, *, chunk_id: UUID) -> dict[str, Any]:
        """Open a chunk: text and section."""
        body: dict[str, Any] = json.loads(self.open(sealed, object_id=chunk_id, name="chunk"))
        return body


def new_vault(*, document_id: UUID) -> tuple[Vault, bytes]:
    """Make a document's key; return it opened, and wrapped for keeping."""
    tenant_id = current_tenant_id()
    key, wrapped = sealing.new_data_key(tenant_id=tenant_id, object_id=document_id)
    return Vault(tenant_id, document_id, key), wrapped


def open_vault(*, document_id: UUID, wrapped: bytes) -> Vault:
    """Open a document's wrapped key; raise KeyUnavailable or CannotOpen."""
    tenant_id = current_tenant_id()
    key = sealing.open_data_key(wrapped, tenant_id=tenant_id, object_id=document_id)
    return Vault(tenant_id, document_id, key)


def vault_of(document_id: UUID) -> Vault | None:
    """Open the key of a document in scope; None when it is disabled, destroyed or out of reach."""
    found = DocumentKey.objects.filter(document_id=document_id).first()
    return open_vault(document_id=document_id, wrapped=bytes(found.wrapped)) if found else None
