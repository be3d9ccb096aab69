"""Look after uses that nobody works on any more, tenant after tenant: the dispatcher says which, never what of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.utils import timezone

from ambit.metering.services import ROWS_AT_ONCE, abandoned_before, close_abandoned, forget_old_uses
from tenants.queries import is_tenant_open
from tenants.scope import tenant_scope

DISPATCH = "dispatch"
_LEFT_OPEN = "SELECT DISTINCT tenant_id FROM metering_use WHERE outcome = '' AND at < %s"
# The oldest use of each tenant, by one look into the index for each: reading them all would cost more with each day.
_WITH_OLD = """
WITH RECURSIVE oldest AS (
    (SELECT tenant_id, at FROM metering_use ORDER BY tenant_id, at LIMIT 1)
  UNION ALL
    SELECT next.tenant_id, next.at FROM oldest CROSS JOIN LATERAL (
        SELECT tenant_id, at FROM metering_use WHERE tenant_id > oldest.tenant_id ORDER BY tenant_id, at LIMIT 1
    ) AS next
)
SELECT tenant_id FROM oldest WHERE at < %s
"""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done, in all tenants together."""

    n_abandoned: int
    n_forgotten: int


def keep_uses() -> Upkeep:
    """Close what was left open and delete what is old, each tenant in transactions of its own."""
    old = timezone.now() - timedelta(days=settings.AMBIT_USES_DAYS)
    return Upkeep(
        n_abandoned=sum(_close(one) for one in _tenants(_LEFT_OPEN, abandoned_before())),
        n_forgotten=sum(_forget(one) for one in _tenants(_WITH_OLD, old)),
    )


def _tenants(statement: str, before: datetime) -> list[UUID]:
    with connections[DISPATCH].cursor() as cursor:
        cursor.execute(statement, [before])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _close(tenant_id: UUID) -> int:
    with tenant_scope(tenant_id):
        # A tenant that ends takes no new sums: its uses go with it.
        return close_abandoned() if is_tenant_open() else 0


def _forget(tenant_id: UUID) -> int:
    total = 0
    while True:
        with tenant_scope(tenant_id):
            gone = forget_old_uses()
        total += gone
        if gone < ROWS_AT_ONCE:
            return total
