"""Tables of what was used; imported only inside ambit.metering."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.base import TenantModel


class Use(TenantModel):
    """One request to a generator, written before the generator is asked; whoever dies leaves it open."""

    at = models.DateTimeField()
    # NULL: the member was erased, or the key was the member's own.
    member_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=12)
    model = models.CharField(max_length=200)
    passages = models.PositiveIntegerField()
    retrieval_ms = models.PositiveIntegerField()
    prompt_estimate = models.PositiveIntegerField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    exact = models.BooleanField(default=False)
    # Empty: under way, or left by who died.
    outcome = models.CharField(max_length=12, default="")
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "at"], name="use_by_time"),
            models.Index(fields=["tenant_id", "at"], name="use_open", condition=Q(outcome="")),
        ]


class UseDay(TenantModel):
    """Sums of the uses of one day (UTC) that are over, by member, key, kind and model."""

    day = models.DateField()
    member_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=12)
    model = models.CharField(max_length=200)
    requests = models.BigIntegerField()
    unfinished = models.BigIntegerField()
    estimated = models.BigIntegerField()
    passages = models.BigIntegerField()
    retrieval_ms = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "day", "member_id", "key_id", "kind", "model"],
                name="use_day_once",
                nulls_distinct=False,
            )
        ]


class UseMonth(TenantModel):
    """A part of a tenant's sums of one month: in several rows, so that requests that end together do not wait."""

    month = models.DateField()
    shard = models.SmallIntegerField()
    requests = models.BigIntegerField()
    tokens = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "month", "shard"], name="use_month_once")
        ]


class Limit(TenantModel):
    """A tenant's own limits, set by the operator. NULL: the deployment's; 0: none."""

    requests_per_minute = models.IntegerField(null=True)
    member_requests_per_minute = models.IntegerField(null=True)
    tokens_per_month = models.BigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id"], name="limit_once")]
