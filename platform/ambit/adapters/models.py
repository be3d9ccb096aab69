"""Tables of adapters; imported only inside ambit.adapters."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.base import TenantModel


class AdapterState(models.TextChoices):
    """Where an adapter stands; none goes back."""

    CANDIDATE = "candidate", "Candidate"
    LIVE = "live", "Live"
    RETIRED = "retired", "Retired"
    ERASED = "erased", "Erased"


class Adapter(TenantModel):
    """A LoRA adapter; once it is erased, a row that says that it was there."""

    # The tenant's own word for it.
    name = models.CharField(max_length=200)
    # What model servers know it by: random, so that it says nothing of whose it is.
    served_name = models.CharField(max_length=64)
    base = models.CharField(max_length=200)
    rank = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    n_bytes = models.BigIntegerField()
    # Of its training documents. A document that leaves its audience retires the adapter: they stay true.
    audience_ids = ArrayField(models.UUIDField())
    n_documents = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=AdapterState, default=AdapterState.CANDIDATE)
    registered_by_id = models.UUIDField()
    registered_at = models.DateTimeField(auto_now_add=True)
    # Its files are whole on disk.
    stored_at = models.DateTimeField(null=True)
    live_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    # by_hand, hidden, moved, replaced or not_stored; of the three in the middle, which document.
    retired_because = models.CharField(max_length=10, blank=True)
    retired_for_id = models.UUIDField(null=True)
    # Its retirement is in the audit trail.
    noted_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)
    # Since when every model server has it; and why one has not.
    loaded_at = models.DateTimeField(null=True)
    load_fault = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "served_name"], name="adapter_served_once"
            ),
            models.CheckConstraint(
                # Trained on nothing, it would be everybody's.
                condition=models.Q(audience_ids__len__gt=0) & models.Q(n_documents__gt=0),
                name="adapter_has_documents",
            ),
        ]
        indexes = [models.Index(fields=["tenant_id", "-id"], name="adapter_by_time")]


class TrainingDocument(TenantModel):
    """One version of a document that an adapter was trained on, and its audience then."""

    adapter_id = models.UUIDField()
    document_id = models.UUIDField()
    version_id = models.UUIDField()
    audience_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "adapter_id", "document_id"], name="training_document_once"
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "document_id"], name="training_document_of"),
        ]
