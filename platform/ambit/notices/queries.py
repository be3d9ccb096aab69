"""Read recipients and what they were told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from uuid import UUID

from ambit.keys.sealing import open_data_key, open_text
from ambit.notices.models import Notice, Webhook
from ambit.notices.types import NoticeView, WebhookView

FIELD = "webhook"


class WebhookNotFound(LookupError):
    """There is no such webhook in this tenant, or it was removed."""


def get_webhook(*, webhook_id: UUID) -> WebhookView:
    """Return a recipient of the tenant in scope; raise WebhookNotFound."""
    return _view(live_webhook(webhook_id))


def list_webhooks(*, after: UUID | None, limit: int) -> list[WebhookView]:
    """Return the tenant's recipients newest first, without the removed."""
    found = Webhook.objects.filter(removed_at=None).order_by("-pk")
    return [_view(row) for row in (found.filter(pk__lt=after) if after else found)[:limit]]


def notices_of(case_id: UUID) -> tuple[NoticeView, ...]:
    """Return what recipients were told of an erasure or a restriction, or are to be, oldest first."""
    rows = list(Notice.objects.filter(object_id=case_id).order_by("pk"))
    names = _names({row.webhook_id for row in rows})
    return tuple(
        NoticeView(
            id=row.pk,
            webhook_id=row.webhook_id,
            recipient=names[row.webhook_id],
            event=row.event,
            object_id=row.object_id,
            n_documents=len(row.document_ids),
            occurred_at=row.occurred_at,
            state=row.state,  # type: ignore[arg-type]  # the column's choices are StateName
            attempts=row.attempts,
            last_status=row.last_status,
            last_fault=row.last_fault,
            ended_at=row.ended_at,
        )
        for row in rows
    )


def live_webhook(webhook_id: UUID) -> Webhook:
    """Return a recipient that was not removed; raise WebhookNotFound."""
    row = Webhook.objects.filter(pk=webhook_id, removed_at=None).first()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return row


def _names(webhook_ids: Iterable[UUID]) -> dict[UUID, str]:
    return dict(Webhook.objects.filter(pk__in=list(webhook_ids)).values_list("pk", "name"))


def _view(row: Webhook) -> WebhookView:
    key = open_data_key(bytes(row.wrapped_key or b""), tenant_id=row.tenant_id, object_id=row.pk)
    opened = open_text(
        key, bytes(row.sealed or b""), tenant_id=row.tenant_id, object_id=row.pk, field=FIELD
    )
    return WebhookView(
        id=row.pk,
        name=row.name,
        url=json.loads(opened)["url"],
        events=tuple(row.events),
        created_at=row.created_at,
        removed_at=row.removed_at,
    )
