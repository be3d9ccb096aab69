"""The written course of a case: what it covers, what was found and what became of it.

Everything here is ids and counts, and may be written again: a killed worker's successor goes on
where the rows say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db import connection
from django.utils import timezone

from ambit.corpus.holdings import versions_of
from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem, ErasureState
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Remaining
from tenants.audit import current_actor, record
from tenants.holding import HoldingFailed, Scope
from tenants.queries import get_tenant

logger = logging.getLogger(__name__)

MarkedState = Literal["scoped", "shredded", "scrubbed", "verified", "closed", "incomplete", "held"]
BATCH_ROWS = 1000
# When a case came into each of its states, in the usual order.
TIMES = (
    "received",
    "identified",
    "hidden",
    "scoped",
    "shredded",
    "scrubbed",
    "verified",
    "closed",
    "incomplete",
    "held",
    "refused",
)
# The kinds of things a case covers, and where a scope keeps their ids.
KINDS = {
    "document": "document_ids",
    "member": "member_ids",
    "key": "key_ids",
    "account": "account_ids",
    "answer": "answer_ids",
    "export": "export_ids",
}


class CaseNotFound(LookupError):
    """There is no such case in this tenant."""


def requester() -> tuple[str, UUID | None]:
    """Return who asks: the member a service's key acts for, else the key, account or member itself."""
    actor = current_actor()
    return ("member", actor.member_id) if actor.member_id else (actor.kind, actor.id)


def lock_case(case_id: UUID) -> Erasure:
    """Return a case that others wait to change until commit; raise CaseNotFound."""
    case = Erasure.objects.select_for_update().filter(pk=case_id).first()
    if case is None:
        raise CaseNotFound(case_id)
    return case


def is_over(case: Erasure) -> bool:
    """Say whether nothing more will happen to a case."""
    return case.closed_at is not None or case.refused_at is not None


def next_moment(case: Erasure) -> datetime:
    """Return the time now, or the latest of the case where the machine's clock was put back."""
    noted: list[datetime | None] = [getattr(case, f"{state}_at") for state in TIMES]
    return max([timezone.now(), *(at for at in noted if at is not None)])


def this_transaction() -> int:
    """Return the number of the transaction in scope."""
    return _number("SELECT pg_current_xact_id()::text::bigint")


def this_system() -> int:
    """Return which database cluster this is: numbers of transactions and files mean nothing in another one."""
    return _number("SELECT system_identifier FROM pg_control_system()")


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
        export_ids=tuple(ids["export_ids"]),
    )
    return with_epoch(scope, case.salt_epoch)


def with_epoch(scope: Scope, salt_epoch: int) -> Scope:
    """Add the cache generation that may hold what is covered; nothing covered, nothing added."""
    return replace(scope, salt_epoch=salt_epoch) if scope else scope


def note_generation(case: Erasure) -> None:
    """Note the cache generation in which a case is first counted: the one before it ended with the hiding.

    Whoever asked in that moment may have begun its cache in this one.
    """
    if not ErasureHolding.objects.filter(erasure_id=case.pk).exists():
        case.salt_epoch = get_tenant().salt_epoch
        case.save(update_fields=["salt_epoch"])


def add_items(case_id: UUID, scope: Scope) -> bool:
    """Note what a case covers; what is noted already is left. Return whether there was more."""
    items = ErasureItem.objects.filter(erasure_id=case_id)
    n_before = items.count()
    ErasureItem.objects.bulk_create(
        [
            ErasureItem(erasure_id=case_id, kind=kind, object_id=object_id)
            for kind, name in KINDS.items()
            for object_id in getattr(scope, name)
        ],
        batch_size=BATCH_ROWS,
        ignore_conflicts=True,
    )
    return items.count() > n_before


def count_found(scope: Scope) -> dict[str, int | None]:
    """Return what each holding has of a scope now; None for one out of reach, which is logged.

    The verification that follows asks it again, and without an answer the case stays incomplete.
    """
    found: dict[str, int | None] = {}
    for holding in HOLDINGS:
        try:
            found[holding.name] = holding.find(scope)
        except HoldingFailed:
            logger.warning("erasure.holding_out_of_reach", extra={"holding": holding.name})
            found[holding.name] = None
    return found


def note_found(case_id: UUID, found: Mapping[str, int | None]) -> None:
    """Add what is there now to what was destroyed before: a count never shrinks."""
    noted = _noted(case_id)
    for name, n in found.items():
        row = noted.get(name) or ErasureHolding(erasure_id=case_id, name=name)
        row.found = max(row.found, row.destroyed + (n or 0))
        row.save()


def note_scoped(case_id: UUID, found: Mapping[str, int | None]) -> None:
    """Bring a case that is hidden into the state scoped, with what was counted, once every place has answered.

    Nothing of it is destroyed before. Where a place does not answer the case goes on and never was scoped: a state
    that its receipt does not list was not reached.
    """
    if lock_case(case_id).state != ErasureState.HIDDEN or None in found.values():
        return
    # Of what was held something may be left when all else is gone.
    if ErasureHolding.objects.filter(erasure_id=case_id, destroyed__gt=0).exists():
        return
    mark(case_id, "scoped")
    record("erasure.scoped", object_id=case_id, counts={name: n for name, n in found.items() if n})


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
    """Bring a case into a state and note when, never before what was noted; raise CaseNotFound."""
    case = lock_case(case_id)
    case.state = state
    setattr(case, f"{state}_at", next_moment(case))
    case.waits_for = ""
    if attempt is not None:
        case.attempts = attempt
    case.save(update_fields=["state", f"{state}_at", "attempts", "waits_for"])


def wait_for(case_id: UUID, reason: str) -> None:
    """Note why a case has to wait, or with an empty reason that it does not any more."""
    Erasure.objects.filter(pk=case_id).exclude(waits_for=reason).update(waits_for=reason)


def _number(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (n,) = cursor.fetchone()
    return int(n)


def _noted(case_id: UUID) -> dict[str, ErasureHolding]:
    return {row.name: row for row in ErasureHolding.objects.filter(erasure_id=case_id)}
