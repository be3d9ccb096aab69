"""Replay tombstones after a restore: what was destroyed since is hidden again, and handed to the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from django.utils import timezone

from ambit.answers.holdings import answers_here
from ambit.corpus.holdings import documents_declaring
from ambit.corpus.services import delete_again
from ambit.erasure.holds import held_among
from ambit.erasure.models import Erasure
from ambit.erasure.offboarding import end_again
from ambit.erasure.reasons import seal_reason
from ambit.erasure.restrictions import hold_again
from ambit.erasure.retention import pause_rounds
from ambit.erasure.services import cover
from ambit.erasure.subjects import DOCUMENTS, Found
from ambit.erasure.tombstones import (
    DISPATCH,
    holds_lost,
    is_known,
    known_place,
    merged,
    note,
    read_unknown,
)
from ambit.erasure.types import RETENTION
from ambit.jobs.services import tenants_with_rounds
from ambit.tombstones import ledger
from ambit.tombstones.ledger import NOWHERE, Tombstone
from tenants.audit import Actor, acting_as, record
from tenants.holdings import trace_member
from tenants.ids import uuid7
from tenants.scope import tenant_scope

REASON = "Repeated, because a backup of before the erasure was restored."
OPERATOR = Actor("operator", None)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: how many erasures and deletions are hidden again, and how many were known."""

    n_erasures: int = 0
    n_deletions: int = 0
    n_known: int = 0
    # Tenants that were off-boarded, and end again.
    n_tenants: int = 0


def replay_tombstones(say: Callable[[str], None] = lambda _line: None) -> Replayed:
    """Hide again all that the ledger says is gone, and let the database know its lines; may be repeated.

    Each tombstone is a transaction of its own. Raises LedgerUnusable, LedgerDamaged and KeyUnavailable;
    nothing may be served until a run ended well. Nothing goes by age for a day: holds and policies of since are lost.
    """
    for tenant_id in tenants_with_rounds(using=DISPATCH):
        with tenant_scope(tenant_id):
            pause_rounds()
    if known_place(using=DISPATCH) == NOWHERE and not ledger.read_after(NOWHERE):
        return Replayed()
    with ledger.opened(may_make=False):
        lines = read_unknown(whole=True)
        replayed = _replay(merged(lines), say)
        note(lines)
    return replayed


def _replay(tombstones: list[Tombstone], say: Callable[[str], None]) -> Replayed:
    n_erasures = n_deletions = n_known = n_tenants = 0
    # A tenant that ended takes all else of it along.
    tombstones = sorted(tombstones, key=lambda one: one.kind != "tenant")
    for number, one in enumerate(tombstones, start=1):
        if is_known(one):
            n_known += 1
        elif one.kind == "tenant":
            with acting_as(OPERATOR):
                end_again(tenant_id=one.tenant_id)
            n_tenants += 1
        elif one.kind == "document" and _delete_again(one):
            n_deletions += 1
        else:
            _erase_again(one)
            n_erasures += 1
        if number % 100 == 0:
            say(f"{number} of {len(tombstones)} tombstones")
    return Replayed(n_erasures, n_deletions, n_known, n_tenants)


def _delete_again(said: Tombstone) -> bool:
    """Hide a deleted document again; where a hold is on it, return False: it needs a case that waits for that."""
    with acting_as(OPERATOR), tenant_scope(said.tenant_id, custody=True):
        if held_among(said.document_ids):
            return False
        delete_again(document_id=said.object_id)
        return True


def _erase_again(said: Tombstone) -> None:
    with acting_as(OPERATOR), tenant_scope(said.tenant_id, custody=True):
        _hold_again(holds_lost(said))
        found = _found(said)
        case_id = uuid7()
        case = Erasure.objects.create(
            id=case_id,
            repeats_id=said.object_id if said.kind == "case" else None,
            subject_type=found.subject_type,
            subject_mac=found.subject_mac,
            reason_sealed=seal_reason(REASON, (), object_id=case_id, field="reason"),
            requested_by_kind=OPERATOR.kind,
            received_at=timezone.now(),
        )
        cover(case, found, action="erasure.requested")
        record("erasure.repeated", object_id=said.object_id, document_ids=found.document_ids)


def _hold_again(lost: Iterable[ledger.Held]) -> None:
    for basis, held in groupby(sorted(lost), key=lambda one: one[0]):
        things = list(held)
        hold_again(
            basis=basis,
            document_ids=[one for _, kind, one in things if kind == "document"],
            member_ids=[one for _, kind, one in things if kind == "member"],
        )


def _found(said: Tombstone) -> Found:
    """Return what a tombstone names, and what of this database declares the person, but what was held."""
    declared = tuple((kind, bytes.fromhex(mac)) for kind, mac in said.subjects)
    kept = {one for _, _, one in said.held}
    about = documents_declaring(declared, received_until=said.until) - kept
    members = [m for one in said.member_ids if (m := trace_member(kind="member", value=str(one)))]
    subject_type, subject_mac = declared[0] if declared else (DOCUMENTS, None)
    if said.by_age:
        subject_type = RETENTION
    return Found(
        subject_type=subject_type,
        subject_mac=subject_mac,
        declared=declared,
        # A case covers one member at most.
        member=members[0] if members else None,
        document_ids=tuple(sorted({*said.document_ids, *about})),
        confirmed_ids=(),
        identifiers=(),
        answer_ids=tuple(sorted(answers_here(said.answer_ids))),
    )
