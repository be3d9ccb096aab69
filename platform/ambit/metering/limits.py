"""Let a request in, or say when to come again: requests a minute in Redis, tokens a month in Postgres.

A limit that cannot be looked up lets nobody past. Where none is set Redis is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from ambit.metering import figures
from ambit.metering.buckets import (
    WINDOW_S,
    Bucket,
    Level,
    LimitsUnavailable,
    Taken,
    bucket_of_member,
    bucket_of_tenant,
    take,
)
from ambit.metering.queries import get_limits, next_month, tokens_used
from ambit.metering.types import Limits
from tenants.scope import tenant_scope

# What the operator sets counts everywhere after so long.
FRESH_S = 5.0
MAX_REMEMBERED = 10_000


class RateLimited(RuntimeError):
    """A tenant or a member asks more often than it may; says when to come again, with the headers for it."""

    def __init__(self, *, who: str, retry_after_s: int, headers: Mapping[str, str]) -> None:
        super().__init__(who)
        self.who = "This tenant" if who == "tenant" else "This member"
        self.retry_after_s = retry_after_s
        self.headers = dict(headers)


class QuotaSpent(RuntimeError):
    """The tenant's tokens of this month are spent; says when they begin anew."""

    def __init__(self, *, renews_at: datetime) -> None:
        super().__init__(renews_at.isoformat())
        self.renews_at = renews_at
        self.renews_on = f"{renews_at:%Y-%m-%d}"
        self.retry_after_s = max(1, int((renews_at - timezone.now()).total_seconds()) + 1)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was let in."""

    # RateLimit and RateLimit-Policy, for the answer; empty where no limit is set.
    headers: Mapping[str, str] = field(default_factory=dict)
    # Of the month; None: there is no quota.
    tokens_left: int | None = None


async def admit(
    *, tenant_id: UUID, member_id: UUID, key_id: UUID | None, takes_tokens: bool = True
) -> Admission:
    """Count a request against its limits; raise RateLimited, QuotaSpent, LimitsUnavailable.

    takes_tokens: whether a model will be asked, so that a spent quota refuses. NEVER call it inside a transaction.
    """
    return await sync_to_async(_admit)(tenant_id, member_id, takes_tokens=takes_tokens)


async def tokens_left(tenant_id: UUID) -> int | None:
    """Return what is left of the tenant's tokens of this month, 0 at least; None where it has no quota.

    What is under way counts with its prompts' estimates.
    """
    return await sync_to_async(_tokens_left)(tenant_id)


def forget_limits(tenant_id: UUID) -> None:
    """Look a tenant's limits up again at its next request to this process."""
    _remembered.pop(tenant_id, None)


def _admit(tenant_id: UUID, member_id: UUID, *, takes_tokens: bool) -> Admission:
    limits = _limits_of(tenant_id)
    left = _left_of(limits, tenant_id) if takes_tokens else None
    if left == 0:
        figures.count_refused("quota_spent")
        raise QuotaSpent(renews_at=next_month(timezone.now()))
    try:
        taken = take(_buckets(limits, tenant_id, member_id))
    except LimitsUnavailable:
        figures.count_refused("limits_unavailable")
        raise
    headers = rate_headers(taken)
    if taken.retry_after_s is not None:
        figures.count_refused("rate_limited")
        raise RateLimited(
            who=min(taken.levels, key=lambda level: level.left).bucket.name,
            retry_after_s=taken.retry_after_s,
            headers=headers,
        )
    return Admission(headers, left)


def _buckets(limits: Limits, tenant_id: UUID, member_id: UUID) -> list[Bucket]:
    both = (
        bucket_of_tenant(tenant_id, per_minute=limits.requests_per_minute),
        bucket_of_member(tenant_id, member_id, per_minute=limits.member_requests_per_minute),
    )
    return [bucket for bucket in both if bucket.per_minute]


def rate_headers(taken: Taken) -> dict[str, str]:
    """Return the header fields of draft-ietf-httpapi-ratelimit-headers-11: lists of structured fields."""
    if not taken.levels:
        return {}
    return {
        "RateLimit-Policy": ", ".join(_policy(level.bucket) for level in taken.levels),
        "RateLimit": ", ".join(_state(level) for level in taken.levels),
    }


def _policy(bucket: Bucket) -> str:
    return f'"{bucket.name}";q={bucket.per_minute};w={WINDOW_S}'


def _state(level: Level) -> str:
    return f'"{level.bucket.name}";r={level.left};t={level.full_in_s}'


def _tokens_left(tenant_id: UUID) -> int | None:
    return _left_of(_limits_of(tenant_id), tenant_id)


def _left_of(limits: Limits, tenant_id: UUID) -> int | None:
    if not limits.tokens_per_month:
        return None
    with _own_scope(tenant_id):
        return max(0, limits.tokens_per_month - tokens_used())


@contextmanager
def _own_scope(tenant_id: UUID) -> Iterator[None]:
    """Open a transaction of the tenant, and give its connection back before anything is waited for."""
    try:
        with tenant_scope(tenant_id):
            yield
    finally:
        if not connection.in_atomic_block:
            connection.close()


_remembered: dict[UUID, tuple[float, Limits]] = {}


def _limits_of(tenant_id: UUID) -> Limits:
    now = time.monotonic()
    known = _remembered.get(tenant_id)
    if known is not None and known[0] > now:
        return known[1]
    with _own_scope(tenant_id):
        found = get_limits()
    if len(_remembered) >= MAX_REMEMBERED:
        _remembered.clear()
    _remembered[tenant_id] = (now + FRESH_S, found)
    return found
