"""Read what was used and what may be: sums alone, by days and months."""

from __future__ import annotations

from datetime import UTC, date
from uuid import UUID

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from ambit.metering.models import Limit, Use, UseMonth
from ambit.metering.types import Limits, OwnLimits
from tenants.queries import OPERATOR
from tenants.scope import custody_scope


def this_month() -> date:
    """Return the first day of the month, UTC."""
    return timezone.now().astimezone(UTC).date().replace(day=1)


def tokens_used() -> int:
    """Return the tokens of the tenant in scope this month: of uses that are over, and estimates of those that are not.

    Reads up to eight rows of sums and the uses under way, however many there were.
    """
    spent = UseMonth.objects.filter(month=this_month()).aggregate(n=Sum("tokens"))["n"]
    with custody_scope():
        under_way = Use.objects.filter(outcome="").aggregate(n=Sum("prompt_estimate"))["n"]
    return int(spent or 0) + int(under_way or 0)


def months_of_tenants(tenant_ids: list[UUID]) -> dict[UUID, int]:
    """Return the tokens of tenants this month, as the operator; of uses that are over."""
    sums = UseMonth._base_manager.using(OPERATOR).filter(  # noqa: SLF001 - tenants are crossed by another login
        tenant_id__in=tenant_ids, month=this_month()
    )
    return dict(sums.values("tenant_id").annotate(n=Sum("tokens")).values_list("tenant_id", "n"))


def get_own_limits() -> OwnLimits:
    """Return what the operator set for the tenant in scope."""
    found = Limit.objects.first()
    if found is None:
        return OwnLimits()
    return OwnLimits(
        requests_per_minute=found.requests_per_minute,
        member_requests_per_minute=found.member_requests_per_minute,
        tokens_per_month=found.tokens_per_month,
    )


def get_limits() -> Limits:
    """Return what is in force for the tenant in scope."""
    own = get_own_limits()
    return Limits(
        requests_per_minute=_given(own.requests_per_minute, settings.AMBIT_REQUESTS_PER_MINUTE),
        member_requests_per_minute=_given(
            own.member_requests_per_minute, settings.AMBIT_MEMBER_REQUESTS_PER_MINUTE
        ),
        tokens_per_month=_given(own.tokens_per_month, settings.AMBIT_TOKENS_PER_MONTH),
    )


def _given(own: int | None, deployments: int) -> int:
    return deployments if own is None else own
