"""Step 1 of 6. Count what is there of the tenant, place by place, before anything of it is destroyed."""

from __future__ import annotations

import logging

from ambit.erasure.cases import note_scoped
from ambit.erasure.ending import Ending, note_accounts
from ambit.erasure.offboarding import note_place, take_up_tenant
from ambit.erasure.places import PLACES, Place
from ambit.erasure.types import Case
from ambit.jobs.services import Claim, keep
from tenants.holding import HoldingFailed
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)


def take_up(held: Claim) -> tuple[Case, Ending] | None:
    """Return the case, and what ends with it; None when it is closed or was never committed."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        return take_up_tenant(held.object_id, job_id=held.job_id)


def find(held: Claim, over: Ending) -> None:
    """Note how much each place has; one out of reach counts nothing, and the second look will say so.

    The end is scoped once every place has answered, before anything is destroyed.
    """
    found: dict[str, int | None] = {}
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_accounts(over)
    for place in PLACES:
        with tenant_scope(held.tenant_id, custody=True):
            keep(held)
            found[place.name] = n = _ask(place, over)
            note_place(over, place.name, n or 0)
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_scoped(over.case_id, found)


def _ask(place: Place, over: Ending) -> int | None:
    try:
        return place.find(over)
    except HoldingFailed:
        logger.warning("offboard.place_out_of_reach", extra={"place": place.name})
        return None
