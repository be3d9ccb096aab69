"""Identifiers of data subjects, kept and looked up as keyed hashes."""

from __future__ import annotations

import unicodedata
from uuid import UUID

from ambit.corpus.types import SubjectRef
from ambit.keys.sealing import keyed_hash
from tenants.scope import current_tenant_id


def subject_mac(subject: SubjectRef) -> bytes:
    """Return the keyed hash under which a subject's documents are found.

    E-mail addresses are compared without regard to case, everything in Unicode form NFC.
    """
    value = unicodedata.normalize("NFC", subject.value.strip())
    if subject.type == "email":
        value = value.lower()
    if subject.type == "member":
        value = str(UUID(value))
    data = f"{subject.type}|{value}".encode()
    return keyed_hash(data, tenant_id=current_tenant_id(), purpose="subject")
