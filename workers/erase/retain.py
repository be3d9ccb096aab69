"""Look once a day for what a tenant keeps no longer, and make a case of it; beside the flow."""

from __future__ import annotations

from ambit.erasure.rounds import begin_round
from ambit.jobs.services import Claim, finish, keep, put_back
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope


def retain(held: Claim) -> None:
    """Do one round of the tenant and wake again for the next; raise ClaimLost.

    One transaction, cases and next time alike: a worker that dies has done all of a round or nothing.
    """
    with acting_as(Actor("worker", None)), tenant_scope(held.tenant_id, custody=True):
        keep(held)
        pause = begin_round()
        if pause is None:
            finish(held)
        else:
            put_back(held, delay_s=pause.total_seconds(), counted=False)
