"""What metering holds about a person: who used a model when. The costs stay the tenant's; who it was goes."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from ambit.metering.models import Use, UseDay
from tenants.holding import Holding, Scope
from tenants.scope import current_tenant_id

# A use may be closed meanwhile, which adds to its day: so uses come first, and the days are read after. Rows of
# one day that differ by who it was alone become one.
_FORGET_USES = """
UPDATE metering_use SET
    member_id = CASE WHEN member_id = ANY (%(members)s) THEN NULL ELSE member_id END,
    key_id = CASE WHEN key_id = ANY (%(keys)s) THEN NULL ELSE key_id END
WHERE tenant_id = %(tenant)s AND (member_id = ANY (%(members)s) OR key_id = ANY (%(keys)s))
"""
_FORGET_DAYS = """
WITH named AS (
    DELETE FROM metering_useday
    WHERE tenant_id = %(tenant)s AND (member_id = ANY (%(members)s) OR key_id = ANY (%(keys)s)) RETURNING *
), nameless AS (
    SELECT tenant_id, day, kind, model, requests, unfinished, estimated, passages, retrieval_ms,
           prompt_tokens, cached_tokens, completion_tokens,
           CASE WHEN member_id = ANY (%(members)s) THEN NULL ELSE member_id END AS member_id,
           CASE WHEN key_id = ANY (%(keys)s) THEN NULL ELSE key_id END AS key_id
    FROM named
)
INSERT INTO metering_useday AS sums (
    tenant_id, id, day, member_id, key_id, kind, model, requests, unfinished, estimated, passages,
    retrieval_ms, prompt_tokens, cached_tokens, completion_tokens)
SELECT tenant_id, gen_random_uuid(), day, member_id, key_id, kind, model, sum(requests), sum(unfinished),
       sum(estimated), sum(passages), sum(retrieval_ms), sum(prompt_tokens), sum(cached_tokens),
       sum(completion_tokens)
FROM nameless GROUP BY tenant_id, day, member_id, key_id, kind, model
ON CONFLICT (tenant_id, day, member_id, key_id, kind, model) DO UPDATE SET
    requests = sums.requests + EXCLUDED.requests,
    unfinished = sums.unfinished + EXCLUDED.unfinished,
    estimated = sums.estimated + EXCLUDED.estimated,
    passages = sums.passages + EXCLUDED.passages,
    retrieval_ms = sums.retrieval_ms + EXCLUDED.retrieval_ms,
    prompt_tokens = sums.prompt_tokens + EXCLUDED.prompt_tokens,
    cached_tokens = sums.cached_tokens + EXCLUDED.cached_tokens,
    completion_tokens = sums.completion_tokens + EXCLUDED.completion_tokens
"""
# Compared as text, so that every row is read and no index that found them is trusted.
_LEFT = """
SELECT (SELECT count(*) FROM metering_use WHERE tenant_id::text = %(tenant)s
        AND (member_id::text = ANY (%(ids)s) OR key_id::text = ANY (%(ids)s)))
     + (SELECT count(*) FROM metering_useday WHERE tenant_id::text = %(tenant)s
        AND (member_id::text = ANY (%(ids)s) OR key_id::text = ANY (%(ids)s)))
"""


def _uses(scope: Scope) -> QuerySet[Use]:
    return Use.objects.filter(_of(scope))


def _days(scope: Scope) -> QuerySet[UseDay]:
    return UseDay.objects.filter(_of(scope))


def _of(scope: Scope) -> Q:
    return Q(member_id__in=scope.member_ids) | Q(key_id__in=scope.key_ids)


def _forget(scope: Scope) -> None:
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "members": list(scope.member_ids),
        "keys": list(scope.key_ids),
    }
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_USES, values)
        cursor.execute(_FORGET_DAYS, values)


def _left(scope: Scope) -> int:
    values: dict[str, Any] = {
        "tenant": str(scope.tenant_id),
        "ids": [str(one) for one in (*scope.member_ids, *scope.key_ids)],
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
        (n,) = cursor.fetchone()
    return int(n)


USES = Holding(
    name="uses",
    title="Uses of models by the member, and their sums by day",
    found_by="the member's id and those of its keys",
    destroyed_by="taking these ids out; how much was used stays with the tenant's costs",
    verified_by="every use and every sum of the tenant, read for the ids",
    find=lambda scope: _uses(scope).count() + _days(scope).count(),
    destroy=_forget,
    remains=_left,
)
