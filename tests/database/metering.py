"""Uses for tests: opened and closed as an answer does, and what stands in the tables afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Sum

from ambit.metering.models import Use, UseDay, UseMonth
from ambit.metering.services import close_use, open_use
from tests.database.worlds import make_member, make_tenant, working


@dataclass(frozen=True, slots=True)
class Metered:
    """A tenant with two members whose uses are counted."""

    tenant_id: UUID
    alice: UUID
    bob: UUID


def make_metered() -> Metered:
    """Make a tenant with two members."""
    tenant_id = make_tenant()
    with working(tenant_id):
        return Metered(tenant_id, make_member("alice"), make_member("bob"))


def opened(tenant_id: UUID, member_id: UUID, **values: Any) -> UUID:
    """Open a use in a transaction of its own."""
    told: dict[str, Any] = {
        "key_id": None,
        "kind": "answer",
        "model": "tiny",
        "passages": 3,
        "retrieval_ms": 7,
        "prompt_estimate": 100,
    }
    with working(tenant_id):
        return open_use(member_id=member_id, **(told | values))


def closed(tenant_id: UUID, use_id: UUID, **values: Any) -> None:
    """Close a use in a transaction of its own."""
    told: dict[str, Any] = {
        "prompt_tokens": 80,
        "cached_tokens": 16,
        "completion_tokens": 20,
        "exact": True,
        "outcome": "finished",
    }
    with working(tenant_id):
        close_use(use_id, **(told | values))


def used(tenant_id: UUID, member_id: UUID, **values: Any) -> UUID:
    """Open a use and close it."""
    of_open = {n: values.pop(n) for n in ("key_id", "kind", "model") if n in values}
    use_id = opened(tenant_id, member_id, **of_open)
    closed(tenant_id, use_id, **values)
    return use_id


SUMMED = ("passages", "retrieval_ms", "prompt_tokens", "cached_tokens", "completion_tokens")


def sums(tenant_id: UUID) -> tuple[dict[str, int], dict[str, int], int]:
    """Return what the closed uses come to, what the days say, and the tokens that the months say."""
    with working(tenant_id, custody=True):
        over = Use.objects.exclude(outcome="")
        of_uses = over.aggregate(**{n: Sum(n, default=0) for n in SUMMED})
        of_uses["requests"] = over.count()
        of_uses["unfinished"] = over.exclude(outcome="finished").count()
        of_uses["estimated"] = over.filter(exact=False).count()
        of_days = UseDay.objects.aggregate(**{n: Sum(n, default=0) for n in of_uses})
        of_months = UseMonth.objects.aggregate(n=Sum("tokens", default=0))["n"]
    return of_uses, {n: int(of_days[n]) for n in of_uses}, int(of_months)
