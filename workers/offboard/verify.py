"""Step 5 of 6. Look again, by another way than the one that found or destroyed, and change nothing.

Tables are taken from the database's catalogue and not from our list, so that one that was forgotten is found here.
"""

from __future__ import annotations

import logging

from ambit.erasure.disk import FILES, mark_of
from ambit.erasure.ending import Ending
from ambit.erasure.places import AUDIT_VALUES, PLACES, UNLISTED, Place, unlisted
from ambit.erasure.position import read_position
from ambit.erasure.types import Remaining
from ambit.jobs.services import Claim, keep
from ambit.scrub.check import count_unscrubbed
from tenants.holding import HoldingFailed
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

logger = logging.getLogger(__name__)


def verify(held: Claim, over: Ending) -> Verdict:
    """Return what is left in each place, in tables that no place names, and on disk."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        left = [Remaining(place.name, _ask(place, over)) for place in PLACES]
        left.append(Remaining(UNLISTED, unlisted(over)))
        mark = mark_of(over.case_id)
        if mark is not None:
            left.append(Remaining(FILES, count_unscrubbed(mark)))
        return Verdict(tuple(left), 0, read_position())


def waits_for_audit(verdict: Verdict) -> bool:
    """Say whether nothing is left but what keep_audit has still to let go of."""
    return {one.name for one in verdict.left if one.n != 0} == {AUDIT_VALUES}


def _ask(place: Place, over: Ending) -> int | None:
    try:
        return place.remains(over)
    except HoldingFailed:
        logger.warning("offboard.place_does_not_answer", extra={"place": place.name})
        return None
