"""Tables of erasure cases and what they cover."""

from __future__ import annotations

from django.db import models

from tenants.base import TenantModel


class ErasureState(models.TextChoices):
    """Where a case stands; each state's time is kept."""

    RECEIVED = "received", "Received"
    HIDDEN = "hidden", "Hidden"
    DESTROYED = "destroyed", "Destroyed"
    VERIFIED = "verified", "Verified"
    CLOSED = "closed", "Closed"
    INCOMPLETE = "incomplete", "Incomplete"


class Erasure(TenantModel):
    """A request to destroy a person's data or named documents, and its case."""

    state = models.CharField(max_length=12, choices=ErasureState, default=ErasureState.RECEIVED)
    dry_run = models.BooleanField(default=False)
    # email, external_id, member, or documents.
    subject_type = models.CharField(max_length=20)
    # Keyed hash of the subject's identifier: the case never repeats whom it forgot.
    subject_mac = models.BinaryField(null=True)
    reason_sealed = models.BinaryField(null=True)
    requested_by_kind = models.CharField(max_length=16)
    requested_by_id = models.UUIDField(null=True)
    received_at = models.DateTimeField()
    due_at = models.DateTimeField()
    hidden_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # The last time something was found to be left.
    incomplete_at = models.DateTimeField(null=True)
    # The tenant's cache generation when the case was received.
    salt_epoch = models.PositiveIntegerField(default=0)
    # The request's transaction: the case is settled once every older one has ended.
    request_xid = models.BigIntegerField(default=0)
    # Of the documents, those that declare other identifiers too, of this or of other people.
    n_shared_documents = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    receipt = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-id"], name="erasure_by_time")]


class ErasureItem(TenantModel):
    """One thing a case covers, found when it was received."""

    erasure_id = models.UUIDField()
    kind = models.CharField(max_length=16)  # document, member, key, account, answer
    object_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "erasure_id", "kind", "object_id"], name="erasure_item_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "object_id"], name="erasure_item_object")]


class ErasureHolding(TenantModel):
    """What one holding held of a case and what became of it; counts outlive a killed worker."""

    erasure_id = models.UUIDField()
    name = models.CharField(max_length=40)
    found = models.PositiveIntegerField(default=0)
    destroyed = models.PositiveIntegerField(default=0)
    # None: not looked at yet, or it could not be reached.
    remaining = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "erasure_id", "name"], name="erasure_holding_once"
            )
        ]
