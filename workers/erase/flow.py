"""Forget what was asked to be forgotten: find → tombstone → destroy → scrub → verify → receipt.

Hiding has happened before, in the request's own transaction. Each step may be repeated, so that
after a SIGKILL between any two side effects the next worker begins again and ends the same.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ambit.erasure.tombstones import TombstoneBlocked
from ambit.erasure.waiting import note_keys_missing
from ambit.jobs.services import Claim, finish, keep, put_back
from ambit.keys.keyring import KeyUnavailable
from ambit.scrub.blocked import ScrubBlocked
from tenants.audit import Actor, acting_as
from tenants.holding import Scope
from tenants.scope import tenant_scope
from workers.erase.destroy import destroy
from workers.erase.find import find, find_document
from workers.erase.receipt import write_receipt
from workers.erase.scrub import scrub
from workers.erase.tombstone import lay_tombstone, lay_tombstone_of_document
from workers.erase.types import Verdict
from workers.erase.verify import verify

logger = logging.getLogger(__name__)

WORKER = Actor("worker", None)
# An upload that began before the request is still under way: it may be about the person.
UNSETTLED_DELAY_S = 1.0
# Another scrub ends soon; who holds on to a table is not made to queue behind us all the time.
BUSY_DELAY_S, BLOCKED_DELAY_S = 2.0, 30.0
KEYS_DELAY_S = 10.0
FIRST_DELAY_S = 30.0
MAX_DELAY_S = 3600.0


def erase(held: Claim) -> None:
    """Work on a case until it is closed; where something is left, say so and come back later.

    What is under a hold is left until its release hands the case over again; where keys cannot be opened the
    case waits and says so, and what can be destroyed without them is. Raises ClaimLost when another worker
    has the case by now.
    """
    with acting_as(WORKER):
        try:
            case = find(held)
            if case is None:
                _finish(held)
                return
            lay_tombstone(held, case)
            if not (case.has_keys and case.settled):
                # More may be found, by identifiers of the person's own record: that goes last.
                first = _without_people(case.scope)
                destroy(held, case.scope, case_id=case.id, first=first)
                _wait_for_the_rest(held, has_keys=case.has_keys)
                return
            destroy(held, case.scope, case_id=case.id)
            scrub(held, case)
            verdict = verify(held, case.scope, covered=case.covered, case_id=case.id)
            if not write_receipt(held, case, verdict):
                logger.info("erase.hold_released", extra={"object_id": str(held.object_id)})
                put_back(held, delay_s=0, counted=False)
                return
            _come_back(held, verdict)
        except TombstoneBlocked as blocked:
            _wait_for_ledger(held, blocked)
        except ScrubBlocked as blocked:
            names = {"object_id": str(held.object_id), "reason": blocked.reason}
            logger.warning("erase.scrub_waits", extra=names)
            delay_s = BUSY_DELAY_S if blocked.reason == "busy" else BLOCKED_DELAY_S
            put_back(held, delay_s=blocked.retry_s or delay_s, counted=False)
        except KeyUnavailable:
            _wait_for_keys(held)


def _without_people(scope: Scope) -> Scope:
    """Return what a scope covers beside members, who are shut out already, and what they act with."""
    return replace(scope, member_ids=(), key_ids=(), account_ids=())


def _wait_for_the_rest(held: Claim, *, has_keys: bool) -> None:
    if not has_keys:
        _wait_for_keys(held)
        return
    logger.info("erase.unsettled", extra={"object_id": str(held.object_id)})
    put_back(held, delay_s=UNSETTLED_DELAY_S, counted=False)


def _wait_for_keys(held: Claim) -> None:
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_keys_missing(held.object_id)
    logger.warning("erase.keys_unavailable", extra={"object_id": str(held.object_id)})
    put_back(held, delay_s=KEYS_DELAY_S, counted=False)


def remove(held: Claim) -> None:
    """Destroy a deleted document everywhere; there is no case and no receipt. Raises ClaimLost."""
    with acting_as(WORKER):
        scope = find_document(held)
        try:
            lay_tombstone_of_document(held)
        except TombstoneBlocked as blocked:
            _wait_for_ledger(held, blocked)
            return
        destroy(held, scope, case_id=None)
        verdict = verify(held, scope, covered=scope)
        if verdict.complete:
            _finish(held)
        _come_back(held, verdict)


def _wait_for_ledger(held: Claim, blocked: TombstoneBlocked) -> None:
    """Come back later: nothing was destroyed, and what is hidden stays so."""
    names = {"object_id": str(held.object_id), "reason": blocked.reason}
    logger.warning("erase.tombstone_waits", extra=names)
    put_back(held, delay_s=BLOCKED_DELAY_S, counted=False)


def _finish(held: Claim) -> None:
    with tenant_scope(held.tenant_id):
        finish(held)


def _come_back(held: Claim, verdict: Verdict) -> None:
    if verdict.complete:
        return
    delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(held.attempt - 1, 10))
    put_back(held, delay_s=delay_s)
    logger.error(
        "erase.incomplete",
        extra={
            "object_id": str(held.object_id),
            "holdings": [one.name for one in verdict.left if one.n != 0],
            "retry_s": delay_s,
        },
    )
