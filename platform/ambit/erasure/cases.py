"""The written course of a case: what it covers, what was found and what became of it.

Everything here is ids and counts, and may be written again: a killed worker's successor goes on
where the rows say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.utils import timezone

from ambit.corpus.holdings import versions_of
from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Remaining
from tenants.holding import HoldingFailed, Scope

logger = logging.getLogger(__name__)

MarkedState = Literal["destroyed", "verified", "closed", "incomplete"]
BATCH_ROWS = 1000
# The kinds of things a case covers, and where a scope keeps their ids.
KINDS = {
    "document": "document_ids",
    "member": "member_ids",
    "key": "key_ids",
    "account": "account_ids",
    "answer": "answer_ids",
}


class CaseNotFound(LookupError):
    """There is no such case in this tenant."""


def this_transaction() -> int:
    """Return the number of the transaction in scope."""
    return _number("SELECT pg_current_xact_id()::text::bigint")


def is_settled(case: Erasure) -> bool:
    """Say whether every transaction as old as the request has ended."""
    oldest = _number("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return oldest > case.request_xid


def scope_of(case: Erasure) -> Scope:
    """Return what a case covers, from the ids noted for it, in custody."""
    ids: dict[str, list[UUID]] = {name: [] for name in KINDS.values()}
    items = ErasureItem.objects.filter(erasure_id=case.pk).order_by("object_id")
    for kind, object_id in items.values_list("kind", "object_id"):
        ids[KINDS[kind]].append(object_id)
    scope = Scope(
        tenant_id=case.tenant_id,
        document_ids=tuple(ids["document_ids"]),
        version_ids=versions_of(ids["document_ids"]),
        member_ids=tuple(ids["member_ids"]),
        key_ids=tuple(ids["key_ids"]),
        account_ids=tuple(ids["account_ids"]),
        answer_ids=tuple(ids["answer_ids"]),
    )
    return with_epoch(scope, case.salt_epoch)


def with_epoch(scope: Scope, salt_epoch: int) -> Scope:
    """Add the cache generation that may hold what is covered; nothing covered, nothing added."""
    return replace(scope, salt_epoch=salt_epoch) if scope else scope


def add_items(case_id: UUID, scope: Scope) -> None:
    """Note what a case covers; what is noted already is left."""
    ErasureItem.objects.bulk_create(
        [
            ErasureItem(erasure_id=case_id, kind=kind, object_id=object_id)
            for kind, name in KINDS.items()
            for object_id in getattr(scope, name)
        ],
        batch_size=BATCH_ROWS,
        ignore_conflicts=True,
    )


def count_found(scope: Scope) -> dict[str, int]:
    """Return what each holding has of a scope now; one out of reach counts nothing and is logged.

    The verification that follows asks it again, and without an answer the case stays incomplete.
    """
    found = {}
    for holding in HOLDINGS:
        try:
            found[holding.name] = holding.find(scope)
        except HoldingFailed:
            logger.warning("erasure.holding_out_of_reach", extra={"holding": holding.name})
            found[holding.name] = 0
    return found


def note_found(case_id: UUID, found: dict[str, int]) -> None:
    """Add what is there now to what was destroyed before: a count never shrinks."""
    noted = _noted(case_id)
    for name, n in found.items():
        row = noted.get(name) or ErasureHolding(erasure_id=case_id, name=name)
        row.found = max(row.found, row.destroyed + n)
        row.save()


def note_destroyed(case_id: UUID, *, name: str, still_there: int) -> None:
    """Note that of what a holding had only so much is still there."""
    row = ErasureHolding.objects.get(erasure_id=case_id, name=name)
    row.destroyed = max(row.destroyed, row.found - still_there)
    row.save(update_fields=["destroyed"])


def note_remaining(case_id: UUID, left: Iterable[Remaining]) -> None:
    """Note what the second look found."""
    for one in left:
        ErasureHolding.objects.filter(erasure_id=case_id, name=one.name).update(remaining=one.n)


def mark(case_id: UUID, state: MarkedState, *, attempt: int | None = None) -> None:
    """Bring a case into a state, and note when; raise CaseNotFound."""
    values: dict[str, Any] = {"state": state, f"{state}_at": timezone.now()}
    if attempt is not None:
        values["attempts"] = attempt
    if not Erasure.objects.filter(pk=case_id).update(**values):
        raise CaseNotFound(case_id)


def keep_receipt(case_id: UUID, receipt: dict[str, Any]) -> None:
    """Store a case's receipt in place of the one before."""
    Erasure.objects.filter(pk=case_id).update(receipt=receipt)


def _number(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (n,) = cursor.fetchone()
    return int(n)


def _noted(case_id: UUID) -> dict[str, ErasureHolding]:
    return {row.name: row for row in ErasureHolding.objects.filter(erasure_id=case_id)}
