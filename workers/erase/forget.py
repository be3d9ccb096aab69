"""Destroy a conversation that its member deleted; for what is held of it, come back."""

from __future__ import annotations

from ambit.erasure.forgotten import forget_conversation
from ambit.jobs.services import Claim, finish, keep, put_back
from tenants.scope import tenant_scope

# A hold lasts for months: it is looked after once a day.
HELD_DELAY_S = 86_400.0


def forget(held: Claim) -> None:
    """Destroy what may be destroyed, and finish once nothing is left. Raises ClaimLost."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        is_gone = forget_conversation(held.object_id)
        if is_gone:
            finish(held)
    if not is_gone:
        put_back(held, delay_s=HELD_DELAY_S, counted=False)
