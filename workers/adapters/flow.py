"""Load what is live, unload and destroy what is not, and look again; one job for each adapter."""

from __future__ import annotations

from ambit.adapters.placing import place_adapter
from ambit.jobs.services import Claim, finish, put_back
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope

WORKER = Actor("worker", None)


def place(held: Claim) -> None:
    """Bring one adapter in line, and wake again while there is something to do; raise ClaimLost.

    One transaction: who retires the adapter meanwhile is seen before its end, or finds the job's next time written
    and brings it forward.
    """
    with acting_as(WORKER), tenant_scope(held.tenant_id, custody=True):
        again_s = place_adapter(held.object_id)
        if again_s is None:
            finish(held)
        else:
            put_back(held, delay_s=again_s, counted=False)
