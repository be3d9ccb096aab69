"""Read cases and receipts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any
from uuid import UUID

from django.db.models import Q

from ambit.audit.receipts import SIGNED
from ambit.audit.verify import SIGNED_BY
from ambit.erasure.cases import TIMES, CaseNotFound
from ambit.erasure.holds import held_back_by_case
from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem, Receipt
from ambit.erasure.outlook import open_cases_beside
from ambit.erasure.reasons import read_reason
from ambit.erasure.receipts import said_in
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import RETENTION, ErasureView, HeldBack, HoldingCount, StateTime
from ambit.erasure.waiting import WORDS
from tenants.ids import public_id

ErasureNotFound = CaseNotFound
REFUSED = (
    "Nothing was hidden or destroyed. The reason is kept sealed with the case; the person must be told of it, and that"
    " a complaint to a supervisory authority and a court remain open to them (Art. 12(4) GDPR)."
)


class ReceiptNotReady(LookupError):
    """The case is still being worked on and has no such receipt yet."""


def get_erasure(*, erasure_id: UUID) -> ErasureView:
    """Return a case of the tenant in scope; raise ErasureNotFound."""
    found = Erasure.objects.filter(pk=erasure_id).first()
    if found is None:
        raise ErasureNotFound(erasure_id)
    return _views([found])[0]


def list_erasures(
    *, after: UUID | None, limit: int, by_age: bool | None = None
) -> list[ErasureView]:
    """Return the tenant's cases newest first, from the one after a cursor.

    by_age: those alone that retention made, or those alone that somebody asked for.
    """
    found = Erasure.objects.order_by("-pk")
    if by_age is not None:
        of_age = Q(subject_type=RETENTION)
        found = found.filter(of_age if by_age else ~of_age)
    return _views(list((found.filter(pk__lt=after) if after else found)[:limit]))


def get_receipt(*, erasure_id: UUID, serial: int | None = None) -> dict[str, Any]:
    """Return a receipt, the newest by default: what it says, and under `signed` what was signed of it.

    `signed` is False where it was written before receipts were signed: nothing proves what it says. Raises
    ErasureNotFound, ReceiptNotReady.
    """
    note = get_receipt_note(erasure_id=erasure_id, serial=serial)
    return {**said_in(note), SIGNED: note if SIGNED_BY in note else False}


def get_receipt_note(*, erasure_id: UUID, serial: int | None = None) -> str:
    """Return a receipt as it is kept, the newest by default; raise ErasureNotFound, ReceiptNotReady."""
    found = Receipt.objects.filter(erasure_id=erasure_id).order_by("-serial")
    if serial is not None:
        found = found.filter(serial=serial)
    receipt = found.first()
    if receipt is not None:
        return receipt.note
    if not Erasure.objects.filter(pk=erasure_id).exists():
        raise ErasureNotFound(erasure_id)
    raise ReceiptNotReady(erasure_id)


def holding_counts(
    found: Mapping[str, int | None],
    *,
    destroyed: Mapping[str, int] | None = None,
    remaining: Mapping[str, int | None] | None = None,
) -> tuple[HoldingCount, ...]:
    """Return the counts of every holding in the order of the registry."""
    gone, left = destroyed or {}, remaining or {}
    return tuple(
        HoldingCount(h.name, h.title, found[h.name] or 0, gone.get(h.name, 0), left.get(h.name))
        for h in HOLDINGS
        if h.name in found
    )


def refusal_receipt(case: ErasureView) -> dict[str, Any]:
    """Return what the receipt of a refused case says; no content, no identifier. Pure."""
    return {
        "erasure": public_id("erasure", case.id) if case.id else None,
        "tenant": public_id("tenant", case.tenant_id),
        "version": f"ambit {metadata.version('ambit')}",
        "outcome": "refused",
        "state": case.state,
        "repeats": None,
        "complete": False,
        "subject": {"type": case.subject_type, "hash": case.subject_hash},
        "received_at": case.received_at.isoformat(),
        "due_at": None,
        "extended_at": None,
        "states": [{"state": s.state, "at": s.at.isoformat()} for s in case.states],
        "covered": {},
        "holdings": [],
        "confirmed_documents": 0,
        "scrub": None,
        "retrievable_documents": None,
        "left": [],
        "held": [],
        "database": None,
        "backups": None,
        "not_yet_gone": [],
        "limits": [REFUSED],
    }


def _views(cases: Sequence[Erasure]) -> list[ErasureView]:
    ids = [case.pk for case in cases]
    items: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    for case_id, kind in ErasureItem.objects.filter(erasure_id__in=ids).values_list(
        "erasure_id", "kind"
    ):
        items[case_id][kind] += 1
    holdings: defaultdict[UUID, list[ErasureHolding]] = defaultdict(list)
    for row in ErasureHolding.objects.filter(erasure_id__in=ids):
        holdings[row.erasure_id].append(row)
    held, beside = held_back_by_case(ids), open_cases_beside(cases)
    return [
        _view(
            case,
            dict(items[case.pk]),
            holdings[case.pk],
            held.get(case.pk, ()),
            beside.get(case.pk, ()),
        )
        for case in cases
    ]


def _view(
    case: Erasure,
    counts: dict[str, int],
    rows: Sequence[ErasureHolding],
    held: tuple[HeldBack, ...],
    also_open: tuple[UUID, ...],
) -> ErasureView:
    return ErasureView(
        id=case.pk,
        tenant_id=case.tenant_id,
        state=case.state,  # type: ignore[arg-type]  # the column's choices are StateName
        dry_run=False,
        subject_type=case.subject_type,
        subject_hash=bytes(case.subject_mac).hex() if case.subject_mac is not None else None,
        reason=read_reason(case.reason_sealed, object_id=case.pk, field="reason"),
        requested_by_kind=case.requested_by_kind,
        requested_by_id=case.requested_by_id,
        received_at=case.received_at,
        due_at=case.due_at,
        states=_states(case),
        attempts=case.attempts,
        counts=counts,
        holdings=holding_counts(
            {row.name: row.found for row in rows},
            destroyed={row.name: row.destroyed for row in rows},
            remaining={row.name: row.remaining for row in rows},
        ),
        n_shared_documents=case.n_shared_documents,
        n_confirmed_documents=case.n_confirmed_documents,
        extended_at=case.extended_at,
        extension_reason=read_reason(case.extension_sealed, object_id=case.pk, field="extension"),
        refusal_reason=read_reason(case.refusal_sealed, object_id=case.pk, field="refusal"),
        held=held,
        shredded_xid=case.shredded_xid,
        log_position=case.log_position,
        waits_for=WORDS.get(case.waits_for, ""),
        repeats=case.repeats_id,
        also_open=also_open,
    )


def _states(case: Erasure) -> tuple[StateTime, ...]:
    """Return when the case came into each state, as it happened: some are reached again later."""
    reached = [(at, s) for s in TIMES if (at := getattr(case, f"{s}_at")) is not None]
    return tuple(StateTime(state, at) for at, state in sorted(reached, key=lambda one: one[0]))  # type: ignore[arg-type]  # TIMES are StateName
