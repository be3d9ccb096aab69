"""Bring a case to mind when half, most and all of its time has passed; beside the flow."""

from __future__ import annotations

from django.utils import timezone

from ambit.erasure.cases import CaseNotFound
from ambit.erasure.clock import sound_alarms
from ambit.jobs.services import Claim, finish, keep, put_back
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope


def remind(held: Claim) -> None:
    """Sound the alarms that are due and wake again for the next; raise ClaimLost.

    One transaction: however late it comes, each alarm is written once.
    """
    with acting_as(Actor("worker", None)), tenant_scope(held.tenant_id):
        keep(held)
        try:
            wake_at = sound_alarms(held.object_id)
        except CaseNotFound:
            wake_at = None
        if wake_at is None:
            finish(held)
        else:
            delay_s = max(0.0, (wake_at - timezone.now()).total_seconds())
            put_back(held, delay_s=delay_s, counted=False)
