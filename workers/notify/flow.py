"""Send one notice: take up → send → note what came of it.

A worker that dies between sending and noting is followed by one that sends again, under the same id
and with the same words, by which the receiver knows it has it.
"""

from __future__ import annotations

from ambit.jobs.services import Claim, finish, keep, put_back
from ambit.notices.checkpoints import announce_checkpoint
from ambit.notices.queries import WebhookNotFound
from ambit.notices.sending import send
from ambit.notices.services import NothingToTell, give_up_removed, note_outcome, take_up
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope


def notify(held: Claim) -> None:
    """Tell one recipient one thing, or have it tried again later; raise ClaimLost."""
    with acting_as(Actor("worker", None)):
        try:
            with tenant_scope(held.tenant_id):
                letter = take_up(held)
            outcome = send(letter)
            with tenant_scope(held.tenant_id):
                note_outcome(held, outcome)
        except WebhookNotFound:
            with tenant_scope(held.tenant_id):
                give_up_removed(held)
        except NothingToTell:
            with tenant_scope(held.tenant_id):
                finish(held)


def tell_checkpoint(held: Claim) -> None:
    """Note what a recipient is to be told of the audit trail, and come again; raise ClaimLost."""
    with acting_as(Actor("worker", None)), tenant_scope(held.tenant_id):
        keep(held)
        delay_s = announce_checkpoint(held.object_id)
        if delay_s is None:
            finish(held)
        else:
            put_back(held, delay_s=delay_s, counted=False)
