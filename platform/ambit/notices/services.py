"""Register recipients, and note what they are to be told in the transaction in which it happens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.utils import timezone

from ambit.jobs.kinds import CHECKPOINT_NOTICE, NOTICE
from ambit.jobs.services import Claim, cancel, enqueue, finish, hold, put_back
from ambit.keys.sealing import new_data_key, open_data_key, open_text, seal_text
from ambit.notices.addresses import checked_url
from ambit.notices.checkpoints import begin_telling, told_of
from ambit.notices.models import Notice, NoticeState, Webhook
from ambit.notices.queries import FIELD, get_webhook, live_webhook
from ambit.notices.signing import new_secret
from ambit.notices.types import CHECKPOINT, EVENTS, EventName, Letter, NewWebhook, Outcome
from tenants.audit import record
from tenants.ids import public_id, uuid7
from tenants.scope import current_tenant_id

# Of one tenant, at a time: each is told each thing, for days where its server is down.
MOST_WEBHOOKS = 20
# Of one notice, so that receivers that take 20 kB take it.
MOST_DOCUMENTS = 400
# After the first attempt and each further one; then a person must look. Three days and a half.
DELAYS_S = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Why nobody was told: the webhook is there no more.
REMOVED = "removed"
OBJECTS: dict[EventName, str] = {
    "erasure.closed": "erasure",
    "document.erased": "erasure",
    "restriction.placed": "restriction",
    "restriction.lifted": "restriction",
}


class UnknownEvent(ValueError):
    """A webhook is to be told of something that is never told, or of nothing."""


class TooManyWebhooks(ValueError):
    """The tenant has as many webhooks as it may have."""


class NothingToTell(LookupError):
    """The notice is told, given up, or was never committed."""


def create_webhook(*, name: str, url: str, events: Sequence[str]) -> NewWebhook:
    """Register a recipient; its secret is shown this once.

    Raises BadWebhookUrl, UnknownEvent, TooManyWebhooks.
    """
    if not events or set(events) - set(EVENTS):
        raise UnknownEvent
    checked_url(url)
    if Webhook.objects.filter(removed_at=None).count() >= MOST_WEBHOOKS:
        raise TooManyWebhooks
    tenant_id, webhook_id, secret = current_tenant_id(), uuid7(), new_secret()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=webhook_id)
    sealed = seal_text(
        key,
        json.dumps({"url": url, "secret": secret}),
        tenant_id=tenant_id,
        object_id=webhook_id,
        field=FIELD,
    )
    webhook = Webhook.objects.create(
        id=webhook_id,
        name=name,
        events=list(dict.fromkeys(events)),
        wrapped_key=wrapped,
        sealed=sealed,
    )
    begin_telling(webhook)
    record("webhook.created", object_id=webhook_id)
    return NewWebhook(get_webhook(webhook_id=webhook_id), secret)


def remove_webhook(*, webhook_id: UUID) -> None:
    """Forget a recipient's address and secret; what it was told stays. Raises WebhookNotFound."""
    row = live_webhook(webhook_id)
    row.wrapped_key = row.sealed = None
    row.removed_at = timezone.now()
    row.save()
    waiting = Notice.objects.filter(webhook_id=webhook_id, state=NoticeState.WAITING)
    waiting.update(
        state=NoticeState.GIVEN_UP, last_fault=REMOVED, last_status=None, ended_at=row.removed_at
    )
    cancel(CHECKPOINT_NOTICE, object_id=webhook_id)
    record("webhook.removed", object_id=webhook_id)


def announce(
    event: EventName,
    *,
    object_id: UUID,
    document_ids: Iterable[UUID] = (),
    subject_mac: bytes | None = None,
) -> None:
    """Note for each recipient that wants it what happened, and hand it to the workers.

    In the caller's transaction, so that nobody is told of what did not happen. What a recipient was
    told of this before it is not told again: a case's worker may come by several times.
    """
    ids = sorted(set(document_ids))
    for webhook in Webhook.objects.filter(removed_at=None, events__contains=[event]):
        before = Notice.objects.filter(webhook_id=webhook.pk, event=event, object_id=object_id)
        known = [set(told) for told in before.values_list("document_ids", flat=True)]
        new = [one for one in ids if not any(one in told for told in known)]
        if known and not new:
            continue
        for start in range(0, max(1, len(new)), MOST_DOCUMENTS):
            _note(webhook.pk, event, object_id, new[start : start + MOST_DOCUMENTS], subject_mac)


def _note(
    webhook_id: UUID,
    event: EventName,
    object_id: UUID,
    document_ids: list[UUID],
    subject_mac: bytes | None,
) -> None:
    notice = Notice.objects.create(
        webhook_id=webhook_id,
        event=event,
        object_id=object_id,
        document_ids=document_ids,
        subject_mac=subject_mac,
        occurred_at=timezone.now(),
    )
    enqueue(NOTICE, object_id=notice.pk)


def take_up(held: Claim) -> Letter:
    """Return what a job's notice says and to whom, the same each time; raise NothingToTell, ClaimLost."""
    hold(held)
    notice = _waiting(held.object_id)
    webhook = live_webhook(notice.webhook_id)
    tenant_id = webhook.tenant_id
    key = open_data_key(
        bytes(webhook.wrapped_key or b""), tenant_id=tenant_id, object_id=webhook.pk
    )
    where = json.loads(
        open_text(
            key,
            bytes(webhook.sealed or b""),
            tenant_id=tenant_id,
            object_id=webhook.pk,
            field=FIELD,
        )
    )
    return Letter(
        id=public_id("notice", notice.pk),
        url=where["url"],
        secret=where["secret"],
        body=_body(notice),
    )


def note_outcome(held: Claim, outcome: Outcome) -> None:
    """Note what an attempt came to; end the job, or have it tried again later.

    In the caller's transaction; raises NothingToTell, ClaimLost.
    """
    hold(held)
    notice = _waiting(held.object_id)
    notice.attempts += 1
    notice.tried_at = timezone.now()
    notice.last_status, notice.last_fault = outcome.status, outcome.fault
    over = outcome.is_unwanted or notice.attempts > len(DELAYS_S)
    if outcome.is_told or over:
        notice.state = NoticeState.TOLD if outcome.is_told else NoticeState.GIVEN_UP
        notice.ended_at = notice.tried_at
        record(
            "notice.told" if outcome.is_told else "notice.given_up",
            object_id=notice.pk,
            document_ids=notice.document_ids,
        )
        finish(held)
    notice.save()
    if notice.state == NoticeState.WAITING:
        put_back(held, delay_s=float(DELAYS_S[notice.attempts - 1]))


def give_up_removed(held: Claim) -> None:
    """End a notice whose webhook was removed while it was noted, and its job, in the caller's transaction.

    Raises NothingToTell, ClaimLost.
    """
    hold(held)
    notice = _waiting(held.object_id)
    notice.state, notice.ended_at = NoticeState.GIVEN_UP, timezone.now()
    notice.last_status, notice.last_fault = None, REMOVED
    notice.save()
    record("notice.given_up", object_id=notice.pk, document_ids=notice.document_ids)
    finish(held)


def _waiting(notice_id: UUID) -> Notice:
    found = Notice.objects.select_for_update().filter(pk=notice_id, state=NoticeState.WAITING)
    notice = found.first()
    if notice is None:
        raise NothingToTell(notice_id)
    return notice


def _body(notice: Notice) -> bytes:
    is_checkpoint = notice.event == CHECKPOINT
    said = {
        "type": notice.event,
        "timestamp": notice.occurred_at.isoformat(),
        "data": told_of(notice.object_id) if is_checkpoint else _told_of_case(notice),
    }
    return json.dumps(said, sort_keys=True).encode()


def _told_of_case(notice: Notice) -> dict[str, object]:
    kind = OBJECTS[notice.event]  # type: ignore[index]  # written by announce()
    # A document that was deleted, and not erased for a case, is its own object.
    is_case = kind != "erasure" or notice.document_ids != [notice.object_id]
    return {
        "tenant": public_id("tenant", notice.tenant_id),
        kind: public_id(kind, notice.object_id) if is_case else None,
        "documents": [public_id("document", one) for one in notice.document_ids],
        "subject_hash": bytes(notice.subject_mac).hex() if notice.subject_mac else None,
    }
