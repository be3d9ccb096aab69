"""Step 3 of 6. Destroy, place by place, in bounded parts; what is destroyed already is passed over.

Each part is a transaction of its own under the job's lease, so that a killed worker loses at most the part it was at.
"""

from __future__ import annotations

import logging

from ambit.erasure.disk import shred
from ambit.erasure.ending import Ending
from ambit.erasure.offboarding import note_gone, note_left, places_of
from ambit.erasure.places import AUDIT_VALUES, PLACES, Place
from ambit.jobs.services import Claim, keep
from tenants.audit import record
from tenants.holding import HoldingFailed
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)


def destroy(held: Claim, over: Ending) -> None:
    """Destroy everything of a tenant, and note where its files and tables stood then.

    A place out of reach is passed over: the second look will find that it did not answer. Raises
    ClaimLost when another worker has the job by now.
    """
    for place in PLACES:
        try:
            while destroy_some(held, over, place):
                pass
            _look(held, over, place)
        except HoldingFailed:
            logger.warning("offboard.place_out_of_reach", extra={"place": place.name})
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        if shred(over.case_id):
            gone = {p.name: p.destroyed for p in places_of(over.case_id) if p.destroyed}
            record("erasure.shredded", object_id=over.case_id, counts=gone)


def destroy_some(held: Claim, over: Ending, place: Place) -> bool:
    """Destroy a bounded part of what a place has; return whether there may be more."""
    if place.destroy is None:
        return False
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        gone = place.destroy(over)
        note_gone(over, gone)
    return any(gone.values())


def _look(held: Claim, over: Ending, place: Place) -> None:
    """Note what is gone by what is still there: who destroyed files may have died before noting it."""
    if place.name == AUDIT_VALUES:
        return
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_left(over, place.name, place.find(over))
