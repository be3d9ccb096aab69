"""Send one notice: take up → send → note what came of it.

A worker that dies between sending and noting is followed by one that sends again, under the same id
and with the same words, by which the receiver knows it has it.
"""

from __future__ import annotations

from ambit.jobs.services import Claim, finish
from ambit.notices.queries import WebhookNotFound
from ambit.notices.sending import send
from ambit.notices.services import NothingToTell, note_outcome, take_up
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
        except (NothingToTell, WebhookNotFound):
            with tenant_scope(held.tenant_id):
                finish(held)
