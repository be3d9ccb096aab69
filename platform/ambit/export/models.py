"""Tables of exports; imported only inside ambit.export."""

from __future__ import annotations

from django.db import models

from tenants.base import TenantModel


class ExportState(models.TextChoices):
    """Where an export stands."""

    RECEIVED = "received", "Received"
    READY = "ready", "Ready"
    EXPIRED = "expired", "Expired"
    FAILED = "failed", "Failed"


class Export(TenantModel):
    """A person's archive; once it is over, a row that holds nothing of them and opens nothing."""

    state = models.CharField(max_length=10, choices=ExportState, default=ExportState.RECEIVED)
    # email, external_id or member, and the keyed hash of the identifier.
    subject_type = models.CharField(max_length=20)
    subject_mac = models.BinaryField()
    # The member it is about, while it holds anything of them.
    member_id = models.UUIDField(null=True)
    # Whether an officer decided that documents about others too are given out whole.
    include_shared = models.BooleanField(default=False)
    reason_sealed = models.BinaryField()
    requested_by_kind = models.CharField(max_length=16)
    requested_by_id = models.UUIDField(null=True)
    # One key opens the archive and the identifier; without it both are worthless.
    wrapped_key = models.BinaryField(null=True)
    named_sealed = models.BinaryField(null=True)
    # The attempt whose file it is: a second worker never writes into the first one's.
    file_id = models.UUIDField(null=True)
    received_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # time, erasure, or why it could not be made.
    ended_because = models.CharField(max_length=20, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    n_documents = models.PositiveIntegerField(default=0)
    # Originals that go in, how many are in already, and how many are left out for others' sake.
    n_originals = models.PositiveIntegerField(default=0)
    n_written = models.PositiveIntegerField(default=0)
    n_left_out = models.PositiveIntegerField(default=0)
    n_bytes = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="export_by_time"),
            models.Index(fields=["tenant_id", "member_id"], name="export_by_member"),
        ]


class ExportItem(TenantModel):
    """One document that an archive says something of."""

    export_id = models.UUIDField()
    document_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "export_id", "document_id"], name="export_item_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "document_id"], name="export_item_document")]
