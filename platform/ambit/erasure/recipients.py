"""Tell those who got documents what became of them (Art. 19 GDPR), in the transaction that says so."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from ambit.erasure.models import Erasure
from ambit.erasure.types import RETENTION
from ambit.notices.services import announce


def tell_erased(case_id: UUID, *, document_ids: Iterable[UUID]) -> None:
    """Note for each recipient which documents a case has destroyed, where there are any."""
    ids = list(document_ids)
    if ids:
        announce("document.erased", object_id=case_id, document_ids=ids, subject_mac=_mac(case_id))


def tell_closed(case_id: UUID, *, document_ids: Iterable[UUID]) -> None:
    """Note for each recipient that a case is closed; of one by age only where documents went: they had no answers."""
    by_age = Erasure.objects.filter(pk=case_id, subject_type=RETENTION).exists()
    if by_age and not list(document_ids):
        return
    announce("erasure.closed", object_id=case_id, subject_mac=_mac(case_id))


def _mac(case_id: UUID) -> bytes | None:
    mac = Erasure.objects.values_list("subject_mac", flat=True).get(pk=case_id)
    return bytes(mac) if mac is not None else None
