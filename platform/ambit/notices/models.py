"""Tables of recipients and of what each was told; imported only inside ambit.notices."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.base import TenantModel


class NoticeState(models.TextChoices):
    """Where a notice stands."""

    WAITING = "waiting", "Waiting"
    TOLD = "told", "Told"
    GIVEN_UP = "given_up", "Given up"


class Webhook(TenantModel):
    """A recipient of documents, and where it wants to be told; address and secret are sealed."""

    # Who receives: what a person who asks is told (Art. 19 GDPR).
    name = models.CharField(max_length=200)
    events = ArrayField(models.CharField(max_length=32))
    # None once it is removed: neither address nor secret is kept longer.
    wrapped_key = models.BinaryField(null=True)
    sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)


class Notice(TenantModel):
    """One thing that one recipient is told: ids and a keyed hash, no content; its id never changes."""

    webhook_id = models.UUIDField()
    event = models.CharField(max_length=32)
    # The erasure, the restriction, or the deleted document.
    object_id = models.UUIDField()
    document_ids = ArrayField(models.UUIDField(), default=list)
    # Of the person's identifier, where the erasure is about one.
    subject_mac = models.BinaryField(null=True)
    occurred_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=NoticeState, default=NoticeState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    # What the last attempt came to: a status, or none and a word for why.
    last_status = models.PositiveSmallIntegerField(null=True)
    last_fault = models.CharField(max_length=20, blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "object_id", "event"], name="notice_by_object"),
            models.Index(fields=["tenant_id", "webhook_id"], name="notice_by_webhook"),
        ]
