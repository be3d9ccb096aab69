"""Write what was used: a row before the model is asked, its sums when it is over. Each counts once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from ambit.metering import figures
from ambit.metering.models import Limit, Use
from ambit.metering.queries import require_tenant, view_limits
from ambit.metering.types import ABANDONED, Kind, LimitsView, Outcome, OwnLimits
from tenants.audit import record
from tenants.scope import current_tenant_id, custody_scope, member_scope, tenant_scope

# Beyond the deadlines of queue and model: then nobody works on it any more.
GRACE_S = 60
ROWS_AT_ONCE = 5000
MAX_INTEGER = 2**31 - 1

# In one statement, so that a use and its sums are never apart. Of two that close the same use one finds it open.
# Sums of a month lie in as many rows as backends end requests at once, up to eight: nobody waits for another long,
# and a transaction that closes two uses keeps to one of the rows.
_CLOSING = """
WITH closed AS ({closed} RETURNING *)
, days AS (
    INSERT INTO metering_useday AS sums (
        tenant_id, id, day, member_id, key_id, kind, model, requests, unfinished, estimated, passages,
        retrieval_ms, prompt_tokens, cached_tokens, completion_tokens)
    SELECT tenant_id, gen_random_uuid(), (at AT TIME ZONE 'UTC')::date AS day, member_id, key_id, kind, model,
           count(*), count(*) FILTER (WHERE outcome <> 'finished'), count(*) FILTER (WHERE NOT exact),
           sum(passages), sum(retrieval_ms), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens)
    FROM closed GROUP BY tenant_id, day, member_id, key_id, kind, model
    ON CONFLICT (tenant_id, day, member_id, key_id, kind, model) DO UPDATE SET
        requests = sums.requests + EXCLUDED.requests,
        unfinished = sums.unfinished + EXCLUDED.unfinished,
        estimated = sums.estimated + EXCLUDED.estimated,
        passages = sums.passages + EXCLUDED.passages,
        retrieval_ms = sums.retrieval_ms + EXCLUDED.retrieval_ms,
        prompt_tokens = sums.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = sums.cached_tokens + EXCLUDED.cached_tokens,
        completion_tokens = sums.completion_tokens + EXCLUDED.completion_tokens
), months AS (
    INSERT INTO metering_usemonth AS sums (tenant_id, id, month, shard, requests, tokens)
    SELECT tenant_id, gen_random_uuid(), date_trunc('month', at AT TIME ZONE 'UTC')::date AS month,
           pg_backend_pid() %% 8, count(*), sum(prompt_tokens::bigint + completion_tokens)
    FROM closed GROUP BY tenant_id, month
    ON CONFLICT (tenant_id, month, shard) DO UPDATE SET
        requests = sums.requests + EXCLUDED.requests, tokens = sums.tokens + EXCLUDED.tokens
)
SELECT count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
       coalesce(sum(completion_tokens), 0)
FROM closed
"""
_CLOSE = _CLOSING.format(
    closed="""
    UPDATE metering_use SET outcome = %(outcome)s, exact = %(exact)s, closed_at = %(now)s,
        prompt_tokens = %(prompt)s, cached_tokens = %(cached)s, completion_tokens = %(completion)s
    WHERE tenant_id = %(tenant)s AND id = %(use)s AND outcome = ''"""
)
_ABANDON = _CLOSING.format(
    closed="""
    UPDATE metering_use SET outcome = 'abandoned', exact = false, closed_at = %(now)s,
        prompt_tokens = prompt_estimate
    WHERE tenant_id = %(tenant)s AND outcome = '' AND at < %(before)s"""
)


def open_use(
    *,
    member_id: UUID,
    key_id: UUID | None,
    kind: Kind,
    model: str,
    passages: int,
    retrieval_ms: int,
    prompt_estimate: int,
) -> UUID:
    """Note, in the caller's transaction, that a generator is about to be asked; return the use's id.

    It must be committed before the generator is asked: what a process that dies leaves open is counted by its
    estimate. model: the served model's or adapter's name, or "extractive"; NEVER a tenant's words.
    """
    with member_scope(member_id):
        use = Use.objects.create(
            at=timezone.now(),
            member_id=member_id,
            key_id=key_id,
            kind=kind,
            model=model,
            passages=_whole(passages),
            retrieval_ms=_whole(retrieval_ms),
            prompt_estimate=_whole(prompt_estimate),
        )
    return use.pk


def close_use(
    use_id: UUID,
    *,
    prompt_tokens: int,
    cached_tokens: int,
    completion_tokens: int,
    exact: bool,
    outcome: Outcome,
) -> None:
    """Note, in the tenant's scope, what a use cost and how it ended; the first call counts, others change nothing.

    exact: whether the model's server counted the tokens; otherwise they are an estimate.
    """
    _close(
        _CLOSE,
        {
            "use": use_id,
            "outcome": outcome,
            "exact": exact,
            "prompt": _whole(prompt_tokens),
            "cached": _whole(cached_tokens),
            "completion": _whole(completion_tokens),
        },
        outcome=outcome,
    )


def close_abandoned() -> int:
    """Close the uses of the tenant in scope that are open for longer than any deadline; return how many.

    Each counts with the tokens that its prompt was estimated to have, marked as abandoned and not exact.
    """
    return _close(_ABANDON, {"before": abandoned_before()}, outcome=ABANDONED)


def abandoned_before() -> datetime:
    """Return from when a use is that nobody can be working on any more."""
    deadline_s = settings.AMBIT_VLLM_TIMEOUT_S + settings.AMBIT_VLLM_QUEUE_S + GRACE_S
    return timezone.now() - timedelta(seconds=deadline_s)


def forget_old_uses() -> int:
    """Delete single uses of the tenant in scope whose time is over; return how many. Their sums stay."""
    before = timezone.now() - timedelta(days=settings.AMBIT_USES_DAYS)
    with custody_scope():
        old = Use.objects.filter(at__lt=before).exclude(outcome="").order_by("at")
        ids = list(old.values_list("pk", flat=True)[:ROWS_AT_ONCE])
        gone, _ = Use.objects.filter(pk__in=ids).delete()
    return gone


def set_limits(*, tenant_id: UUID, own: OwnLimits) -> LimitsView:
    """Set a tenant's own limits, as the operator, in a transaction of the tenant's; raise TenantNotFound.

    They count everywhere within five seconds.
    """
    with tenant_scope(tenant_id):
        require_tenant()
        Limit.objects.update_or_create(tenant_id=tenant_id, defaults=asdict(own))
        given = {name: value for name, value in asdict(own).items() if value is not None}
        record("limits.set", object_id=tenant_id, counts=given)
        return view_limits()


def _close(statement: str, values: dict[str, Any], *, outcome: str) -> int:
    told = {**values, "tenant": current_tenant_id(), "now": timezone.now()}
    # Sums are the tenant's, and so is what somebody else's process left.
    with custody_scope(), connection.cursor() as cursor:
        cursor.execute(statement, told)
        n, prompt, cached, completion = cursor.fetchone()
    if n:
        transaction.on_commit(
            lambda: figures.count_closed(
                n=n, outcome=outcome, prompt=prompt, cached=cached, completion=completion
            )
        )
    return int(n)


def _whole(value: int) -> int:
    """Return a count as Postgres takes it: what a server reports is never trusted to be one."""
    return min(max(0, int(value)), MAX_INTEGER)
