"""End a tenant that was off-boarded: find → tombstone → destroy → scrub → verify → certify.

Nobody of it is let in since the operator's request. Each step may be repeated, so that after a SIGKILL between any two
side effects the next worker begins again and ends the same.
"""

from __future__ import annotations

import logging

from ambit.erasure.offboarding import wait_for
from ambit.erasure.tombstones import TombstoneBlocked
from ambit.erasure.types import Case
from ambit.jobs.services import Claim, finish, keep, put_back
from ambit.scrub.blocked import ScrubBlocked
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope
from workers.erase.scrub import scrub
from workers.erase.types import Verdict
from workers.offboard.certify import certify
from workers.offboard.destroy import destroy
from workers.offboard.find import find, take_up
from workers.offboard.tombstone import lay_tombstone
from workers.offboard.verify import verify, waits_for_audit

logger = logging.getLogger(__name__)

WORKER = Actor("worker", None)
# Who wrote before the request may still be under way; keep_audit takes about a second.
UNSETTLED_DELAY_S, AUDIT_DELAY_S = 1.0, 2.0
BUSY_DELAY_S, BLOCKED_DELAY_S = 2.0, 30.0
FIRST_DELAY_S, MAX_DELAY_S = 30.0, 3600.0


def offboard(held: Claim) -> None:
    """Work on a tenant's end until it is certified; where something is left, say so and come back later.

    Raises ClaimLost when another worker has the job by now.
    """
    with acting_as(WORKER):
        taken = take_up(held)
        if taken is None:
            _finish(held)
            return
        case, over = taken
        if not case.settled:
            _wait(held, case, "writers", delay_s=UNSETTLED_DELAY_S)
            return
        find(held, over)
        try:
            lay_tombstone(held)
            destroy(held, over)
            scrub(held, case)
        except TombstoneBlocked as blocked:
            _wait(held, case, blocked.reason, delay_s=BLOCKED_DELAY_S)
            return
        except ScrubBlocked as blocked:
            delay_s = (
                blocked.retry_s or BUSY_DELAY_S if blocked.reason == "busy" else BLOCKED_DELAY_S
            )
            _wait(held, case, blocked.reason, delay_s=delay_s)
            return
        verdict = verify(held, over)
        if waits_for_audit(verdict):
            _wait(held, case, "audit", delay_s=AUDIT_DELAY_S)
            return
        certify(held, over, verdict)
        _come_back(held, verdict)


def _finish(held: Claim) -> None:
    with tenant_scope(held.tenant_id):
        finish(held)


def _wait(held: Claim, case: Case, reason: str, *, delay_s: float) -> None:
    logger.info("offboard.waits", extra={"object_id": str(case.id), "reason": reason})
    with tenant_scope(held.tenant_id):
        keep(held)
        wait_for(case.id, reason)
    put_back(held, delay_s=delay_s, counted=False)


def _come_back(held: Claim, verdict: Verdict) -> None:
    if verdict.complete:
        return
    delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(held.attempt - 1, 10))
    put_back(held, delay_s=delay_s)
    logger.error(
        "offboard.incomplete",
        extra={
            "object_id": str(held.object_id),
            "places": [one.name for one in verdict.left if one.n != 0],
            "retry_s": delay_s,
        },
    )
