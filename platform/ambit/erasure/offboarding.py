"""End a tenant (Art. 28(3)(g) GDPR): from the commit on nobody of it is let in, and nothing new of it is stored.

The off-boarding is a case of its own, about the whole tenant. Destroying is the workers' (workers/offboard); what they
sign in the end is its certificate, a receipt like that of any case.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from ambit.corpus.canary import CANARY_TENANT
from ambit.erasure.cases import is_over, is_settled, lock_case, requester, this_transaction
from ambit.erasure.closing import stand_alone
from ambit.erasure.disk import TENANT, unmark
from ambit.erasure.ending import CLOSED, Ending, closed_slug, note_accounts
from ambit.erasure.holds import count_open_holds, open_holds
from ambit.erasure.models import Erasure, ErasureHolding, ErasureState
from ambit.erasure.places import PLACES
from ambit.erasure.queries import ReceiptNotReady, get_erasure, get_receipt
from ambit.erasure.restrictions import lift
from ambit.erasure.types import Case, HoldingCount, StateName, StateTime
from ambit.erasure.waiting import WORDS
from ambit.jobs.kinds import OFFBOARD
from ambit.jobs.services import enqueue
from tenants.audit import record
from tenants.holding import Scope
from tenants.models import Tenant
from tenants.queries import TenantNotFound
from tenants.scope import current_tenant_id, tenant_scope

# What an off-boarding can wait for beside a scrub.
WAITS = {
    **WORDS,
    "writers": "somebody who wrote before it began has not ended yet",
    "audit": "keep_audit has not let go of all audit events' values yet",
}


class NotOffboarded(LookupError):
    """No off-boarding of this tenant was ever begun."""


class SlugMismatch(ValueError):
    """What was typed as a confirmation is not the tenant's slug; nothing was changed."""


class HoldsOpen(RuntimeError):
    """Holds of the tenant are open: what they keep may not be destroyed. Nothing was changed; carries how many."""

    def __init__(self, n: int) -> None:
        super().__init__(f"{n} open holds")
        self.n = n


@dataclass(frozen=True, slots=True)
class Offboarding:
    """How far a tenant's end has come: ids, counts and times."""

    tenant_id: UUID
    erasure_id: UUID
    state: StateName
    began_at: datetime
    closed_at: datetime | None
    states: tuple[StateTime, ...]
    attempts: int
    # Empty until a worker has counted.
    places: tuple[HoldingCount, ...]
    # Why it has to wait, in words; empty: it does not.
    waits_for: str

    @property
    def complete(self) -> bool:
        """Say whether everything is gone and was verified to be."""
        return self.state == "closed"


def begin_offboarding(*, tenant_id: UUID, slug: str) -> Offboarding:
    """End a tenant, whose slug is typed again as a confirmation; one that has begun is shown as it is.

    As the operator, outside any tenant's scope. Raises TenantNotFound, SlugMismatch, HoldsOpen.
    """
    with tenant_scope(_real(tenant_id), custody=True):
        # Before the tenant's row: who places a hold has it last, to raise the epoch.
        stand_alone()
        tenant = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant_id).first()
        if tenant is None:
            raise TenantNotFound(tenant_id)
        if not _is_named(tenant, slug):
            raise SlugMismatch
        if tenant.closing_at is None:
            n_holds = count_open_holds()
            if n_holds:
                raise HoldsOpen(n_holds)
            _begin(tenant)
        return _view(_case())


def end_again(*, tenant_id: UUID) -> None:
    """End a tenant that a restored backup brought back, with its holds: they were released before it ended."""
    with tenant_scope(tenant_id, custody=True):
        stand_alone()
        tenant = Tenant.objects.filter(pk=tenant_id).first()
        if tenant is None or tenant.closing_at is not None:
            return
        for hold_id in open_holds():
            lift(kind="hold", restriction_id=hold_id)
        # The ledger names the tenant, not the case that ended it before.
        _begin(tenant, repeats=tenant.pk)


def get_offboarding(*, tenant_id: UUID) -> Offboarding:
    """Return how far a tenant's end has come; raise TenantNotFound, NotOffboarded. As the operator."""
    with tenant_scope(_real(tenant_id)):
        return _view(_case())


def get_certificate(*, tenant_id: UUID) -> dict[str, Any]:
    """Return the newest certificate as it was signed, under `signed`, and what it says. As the operator.

    Raises TenantNotFound, NotOffboarded, ReceiptNotReady.
    """
    with tenant_scope(_real(tenant_id)):
        case_id = _case().pk
        found = get_receipt(erasure_id=case_id)
        record("erasure.receipt_read", object_id=case_id)
        return found


def read_closed_trail(*, tenant_id: UUID) -> None:
    """Note that the operator reads the trail of a tenant that has ended: it holds nothing about people any more.

    Raises TenantNotFound, NotOffboarded, and ReceiptNotReady for a tenant that has not ended yet.
    """
    with tenant_scope(_real(tenant_id)):
        case = _case()
        if case.closed_at is None:
            raise ReceiptNotReady(case.pk)
        record("event.exported", object_id=case.pk)


def take_up_tenant(case_id: UUID, *, job_id: UUID) -> tuple[Case, Ending] | None:
    """Return an open case with what ends, in the tenant's scope; None where it is over or was never committed.

    It is settled once every transaction has ended that may not have seen the closing: it has a number from before
    the one noted here, after the closing's commit.
    """
    case = Erasure.objects.select_for_update().filter(pk=case_id).first()
    if case is None or is_over(case):
        return None
    settled = bool(case.request_xid) and is_settled(case)
    if not case.request_xid:
        case.request_xid = this_transaction()
        case.save(update_fields=["request_xid"])
    scope = Scope(tenant_id=case.tenant_id)
    return (
        Case(case_id, scope, scope, frozenset(), settled),
        Ending(case.tenant_id, case_id, job_id, case.salt_epoch),
    )


def note_place(over: Ending, name: str, found: int) -> None:
    """Note what a place has now beside what was destroyed before: a count never shrinks."""
    row, _ = ErasureHolding.objects.get_or_create(erasure_id=over.case_id, name=name)
    row.found = max(row.found, row.destroyed + found)
    row.save(update_fields=["found"])


def note_gone(over: Ending, counts: dict[str, int]) -> None:
    """Note what was destroyed, in the transaction that destroyed it; what is on disk of it is marked anew."""
    for name, n in counts.items():
        if not n:
            continue
        row, _ = ErasureHolding.objects.get_or_create(erasure_id=over.case_id, name=name)
        row.destroyed += n
        row.found = max(row.found, row.destroyed)
        row.save(update_fields=["found", "destroyed"])
    if any(counts.values()):
        unmark(over.case_id)


def note_left(over: Ending, name: str, left: int) -> None:
    """Note that of what a place had only so much is still there."""
    row = ErasureHolding.objects.get(erasure_id=over.case_id, name=name)
    row.destroyed = max(row.destroyed, row.found - left)
    row.save(update_fields=["destroyed"])


def wait_for(case_id: UUID, reason: str) -> None:
    """Note why an off-boarding has to wait: a key of WAITS, or empty."""
    Erasure.objects.filter(pk=case_id).update(waits_for=reason)


def close_tenant(case_id: UUID) -> None:
    """Note that nothing of the tenant in scope is left."""
    closed_at = lock_case(case_id).closed_at
    Tenant.objects.filter(pk=current_tenant_id()).update(closed_at=closed_at)


def places_of(case_id: UUID) -> tuple[HoldingCount, ...]:
    """Return what was found in each place, and what became of it, in the order of destruction."""
    noted = {row.name: row for row in ErasureHolding.objects.filter(erasure_id=case_id)}
    return tuple(
        HoldingCount(p.name, p.title, row.found, row.destroyed, row.remaining)
        for p in PLACES
        if (row := noted.get(p.name)) is not None
    )


def _begin(tenant: Tenant, *, repeats: UUID | None = None) -> None:
    now = timezone.now()
    kind, by_id = requester()
    case = Erasure.objects.create(
        state=ErasureState.HIDDEN,
        subject_type=TENANT,
        requested_by_kind=kind,
        requested_by_id=by_id,
        received_at=now,
        hidden_at=now,
        salt_epoch=tenant.salt_epoch,
        repeats_id=repeats,
    )
    note_accounts(Ending(tenant.pk, case.pk, UUID(int=0), tenant.salt_epoch))
    record("erasure.requested", object_id=case.pk, counts={"tenant": 1})
    # The last row that Postgres takes of it.
    enqueue(OFFBOARD, object_id=case.pk)
    Tenant.objects.filter(pk=tenant.pk).update(closing_at=now)


def _is_named(tenant: Tenant, slug: str) -> bool:
    typed = slug.strip()
    if tenant.slug.startswith(CLOSED):
        typed = closed_slug(tenant.pk, typed)
    return hmac.compare_digest(typed.encode(), tenant.slug.encode())


def _case() -> Erasure:
    """Return the case of the tenant in scope; raise TenantNotFound, NotOffboarded."""
    if not Tenant.objects.filter(pk=current_tenant_id()).exists():
        raise TenantNotFound(current_tenant_id())
    case = Erasure.objects.filter(subject_type=TENANT).order_by("pk").first()
    if case is None:
        raise NotOffboarded(current_tenant_id())
    return case


def _view(case: Erasure) -> Offboarding:
    shown = get_erasure(erasure_id=case.pk)
    return Offboarding(
        tenant_id=case.tenant_id,
        erasure_id=case.pk,
        state=shown.state,
        began_at=case.received_at,
        closed_at=case.closed_at,
        states=shown.states,
        attempts=case.attempts,
        places=places_of(case.pk),
        waits_for=WAITS.get(case.waits_for, ""),
    )


def _real(tenant_id: UUID) -> UUID:
    """Return the id; the canary is nobody's customer and answers like a missing one."""
    if tenant_id == CANARY_TENANT:
        raise TenantNotFound(tenant_id)
    return tenant_id
