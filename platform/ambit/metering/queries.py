"""Read what was used and what may be: sums alone, by days and months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from ambit.metering.models import Limit, Use, UseDay, UseMonth
from ambit.metering.types import GroupName, Limits, LimitsView, OwnLimits, Usage
from tenants.queries import OPERATOR, TenantNotFound, is_tenant_open
from tenants.scope import current_tenant_id, custody_scope, member_scope, tenant_scope

COLUMNS: dict[GroupName, str] = {
    "day": "day",
    "member": "member_id",
    "key": "key_id",
    "model": "model",
    "kind": "kind",
}
SUMS = (
    "requests",
    "unfinished",
    "estimated",
    "passages",
    "retrieval_ms",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)


def list_usage(
    *, first: date, last: date, groups: Sequence[GroupName], member_id: UUID | None = None
) -> list[Usage]:
    """Return the sums of the days from first to last (UTC, both included), in the tenant's scope.

    member_id: of this member alone, else of everybody. Without groups it is one row, all together.
    """
    with member_scope(member_id) if member_id else custody_scope():
        found = UseDay.objects.filter(day__range=(first, last))
        if member_id:
            found = found.filter(member_id=member_id)
        if not groups:
            return [Usage((), **found.aggregate(**{n: Sum(n, default=0) for n in SUMS}))]
        columns = [COLUMNS[name] for name in groups]
        rows = found.values(*columns).order_by(*columns).annotate(**{n: Sum(n) for n in SUMS})
        return [Usage(tuple(groups), **row) for row in rows]


def count_uses_of(member_id: UUID) -> int:
    """Return how many uses are counted by a member's name, in the tenant's scope and custody."""
    found = UseDay.objects.filter(member_id=member_id).aggregate(n=Sum("requests", default=0))
    under_way = Use.objects.filter(member_id=member_id, outcome="").count()
    return int(found["n"]) + under_way


def require_tenant() -> None:
    """Raise TenantNotFound where the tenant in scope is not there, or has ended."""
    if not is_tenant_open():
        raise TenantNotFound(current_tenant_id())


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


def next_month(now: datetime) -> datetime:
    """Return when quotas begin anew: the first of the next month, UTC."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def view_limits() -> LimitsView:
    """Return the limits of the tenant in scope, with how much of the month is used."""
    return LimitsView(get_own_limits(), get_limits(), tokens_used(), next_month(timezone.now()))


def view_limits_of(*, tenant_id: UUID) -> LimitsView:
    """Return a tenant's limits, as the operator, in a transaction of the tenant's; raise TenantNotFound."""
    with tenant_scope(tenant_id):
        require_tenant()
        return view_limits()
