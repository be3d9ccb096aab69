"""Tell a tenant's own server what was signed of its audit trail: the newest checkpoint, by the hour.

A copy that stands where neither we nor the database's administrator can write.
"""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from ambit.audit.proofs import latest_checkpoint, note_of
from ambit.jobs.kinds import CHECKPOINT_NOTICE, NOTICE
from ambit.jobs.services import enqueue
from ambit.notices.models import Notice, NoticeState, Webhook
from ambit.notices.types import CHECKPOINT

# Between two checkpoints that one recipient is told; sooner only where nothing was signed at all yet.
EVERY_S = 3600.0
NOT_YET_S = 60.0


def begin_telling(webhook: Webhook) -> None:
    """Have a recipient told from now on, where it asked for checkpoints."""
    if CHECKPOINT in webhook.events:
        enqueue(CHECKPOINT_NOTICE, object_id=webhook.pk)


def announce_checkpoint(webhook_id: UUID) -> float | None:
    """Note the newest checkpoint for a recipient, and return in how many seconds to come again.

    None once the recipient was removed. Nothing is noted that it knows, or while it has not taken the one before: a
    server that is down for days is told the newest when it is back, and not each.
    """
    if not Webhook.objects.filter(pk=webhook_id, removed_at=None).exists():
        return None
    newest = latest_checkpoint()
    if newest is None:
        return NOT_YET_S
    before = Notice.objects.filter(webhook_id=webhook_id, event=CHECKPOINT)
    if (
        before.filter(state=NoticeState.WAITING).exists()
        or before.filter(object_id=newest.pk).exists()
    ):
        return EVERY_S
    notice = Notice.objects.create(
        webhook_id=webhook_id, event=CHECKPOINT, object_id=newest.pk, occurred_at=timezone.now()
    )
    enqueue(NOTICE, object_id=notice.pk)
    return EVERY_S


def told_of(checkpoint_id: UUID) -> dict[str, object]:
    """Return what a message says of a checkpoint: the signed note and nothing else."""
    return {"note": note_of(checkpoint_id)}
