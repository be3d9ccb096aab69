"""The table of work to do: the truth, of which the queue is only a trigger."""

from __future__ import annotations

from django.db import models

from tenants.base import TenantModel


class Job(TenantModel):
    """One piece of work, written in the transaction that makes it necessary; gone when it is done."""

    name = models.CharField(max_length=40)
    object_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)
    run_after = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    # A worker's claim: it alone may finish the job, until the lease runs out.
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "name", "object_id"], name="job_once")
        ]
        indexes = [
            models.Index(fields=["run_after"], name="job_due"),
            models.Index(fields=["tenant_id", "object_id"], name="job_by_object"),
        ]
