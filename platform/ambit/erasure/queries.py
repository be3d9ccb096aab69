"""Read cases and receipts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ambit.erasure.cases import CaseNotFound
from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import ErasureView, HoldingCount, StateName, StateTime
from ambit.keys.sealing import open_data_key, open_text

REASON = "reason"
ErasureNotFound = CaseNotFound
_STATES: tuple[StateName, ...] = (
    "received",
    "hidden",
    "destroyed",
    "verified",
    "closed",
    "incomplete",
)


class ReceiptNotReady(LookupError):
    """The case is still being worked on and has no receipt yet."""


def get_erasure(*, erasure_id: UUID) -> ErasureView:
    """Return a case of the tenant in scope; raise ErasureNotFound."""
    found = Erasure.objects.filter(pk=erasure_id).first()
    if found is None:
        raise ErasureNotFound(erasure_id)
    return _views([found])[0]


def list_erasures(*, after: UUID | None, limit: int) -> list[ErasureView]:
    """Return the tenant's cases newest first, from the one after a cursor."""
    found = Erasure.objects.order_by("-pk")
    return _views(list((found.filter(pk__lt=after) if after else found)[:limit]))


def get_receipt(*, erasure_id: UUID) -> dict[str, Any]:
    """Return the receipt of a closed or incomplete case; raise ErasureNotFound, ReceiptNotReady."""
    found = Erasure.objects.filter(pk=erasure_id).values_list("receipt", flat=True)
    if not found:
        raise ErasureNotFound(erasure_id)
    receipt: dict[str, Any] | None = found[0]
    if receipt is None:
        raise ReceiptNotReady(erasure_id)
    return receipt


def holding_counts(
    found: Mapping[str, int],
    *,
    destroyed: Mapping[str, int] | None = None,
    remaining: Mapping[str, int | None] | None = None,
) -> tuple[HoldingCount, ...]:
    """Return the counts of every holding in the order of the registry."""
    gone, left = destroyed or {}, remaining or {}
    return tuple(
        HoldingCount(h.name, h.title, found[h.name], gone.get(h.name, 0), left.get(h.name))
        for h in HOLDINGS
        if h.name in found
    )


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
    return [_view(case, dict(items[case.pk]), holdings[case.pk]) for case in cases]


def _view(case: Erasure, counts: dict[str, int], rows: Sequence[ErasureHolding]) -> ErasureView:
    return ErasureView(
        id=case.pk,
        tenant_id=case.tenant_id,
        state=case.state,  # type: ignore[arg-type]  # the column's choices are StateName
        dry_run=False,
        subject_type=case.subject_type,
        subject_hash=bytes(case.subject_mac).hex() if case.subject_mac is not None else None,
        reason=_reason(case),
        requested_by_kind=case.requested_by_kind,
        requested_by_id=case.requested_by_id,
        received_at=case.received_at,
        due_at=case.due_at,
        states=tuple(
            StateTime(state, at)
            for state in _STATES
            if (at := getattr(case, f"{state}_at")) is not None
        ),
        attempts=case.attempts,
        counts=counts,
        holdings=holding_counts(
            {row.name: row.found for row in rows},
            destroyed={row.name: row.destroyed for row in rows},
            remaining={row.name: row.remaining for row in rows},
        ),
        n_shared_documents=case.n_shared_documents,
    )


def _reason(case: Erasure) -> str:
    sealed = bytes(case.reason_sealed or b"")
    if not sealed:
        return ""
    end = 2 + int.from_bytes(sealed[:2], "big")
    key = open_data_key(sealed[2:end], tenant_id=case.tenant_id, object_id=case.pk)
    return open_text(key, sealed[end:], tenant_id=case.tenant_id, object_id=case.pk, field=REASON)
