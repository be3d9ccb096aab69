"""Forget what was asked to be forgotten: find → destroy → scrub → verify → receipt.

Hiding has happened before, in the request's own transaction. Each step may be repeated, so that
after a SIGKILL between any two side effects the next worker begins again and ends the same.
"""

from __future__ import annotations

import logging

from ambit.jobs.services import Claim, finish, put_back
from ambit.scrub.blocked import ScrubBlocked
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope
from workers.erase.destroy import destroy
from workers.erase.find import find, find_document
from workers.erase.receipt import write_receipt
from workers.erase.scrub import scrub
from workers.erase.types import Verdict
from workers.erase.verify import verify

logger = logging.getLogger(__name__)

WORKER = Actor("worker", None)
# An upload that began before the request is still under way: it may be about the person.
UNSETTLED_DELAY_S = 1.0
# Another scrub ends soon; who holds on to a table is not made to queue behind us all the time.
BUSY_DELAY_S, BLOCKED_DELAY_S = 2.0, 30.0
FIRST_DELAY_S = 30.0
MAX_DELAY_S = 3600.0


def erase(held: Claim) -> None:
    """Work on a case until it is closed; where something is left, say so and come back later.

    What is under a hold is left until its release hands the case over again. Raises ClaimLost when
    another worker has the case by now.
    """
    with acting_as(WORKER):
        case = find(held)
        if case is None:
            _finish(held)
            return
        destroy(held, case.scope, case_id=case.id)
        if not case.settled:
            logger.info("erase.unsettled", extra={"object_id": str(held.object_id)})
            put_back(held, delay_s=UNSETTLED_DELAY_S, counted=False)
            return
        try:
            scrub(held, case)
        except ScrubBlocked as blocked:
            names = {"object_id": str(held.object_id), "reason": blocked.reason}
            logger.warning("erase.scrub_waits", extra=names)
            delay_s = BUSY_DELAY_S if blocked.reason == "busy" else BLOCKED_DELAY_S
            put_back(held, delay_s=blocked.retry_s or delay_s, counted=False)
            return
        verdict = verify(held, case.scope, covered=case.covered, case_id=case.id)
        if not write_receipt(held, case, verdict):
            logger.info("erase.hold_released", extra={"object_id": str(held.object_id)})
            put_back(held, delay_s=0, counted=False)
            return
        _come_back(held, verdict)


def remove(held: Claim) -> None:
    """Destroy a deleted document everywhere; there is no case and no receipt. Raises ClaimLost."""
    with acting_as(WORKER):
        scope = find_document(held)
        destroy(held, scope, case_id=None)
        verdict = verify(held, scope, covered=scope)
        if verdict.complete:
            _finish(held)
        _come_back(held, verdict)


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
