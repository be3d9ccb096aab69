"""Buckets in Redis are taken from at once or not at all; a month's quota is Postgres' to tell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from ambit.config.runtime.supervisor import Stack
from ambit.metering import limits
from ambit.metering.buckets import (
    LimitsUnavailable,
    bucket_of_member,
    bucket_of_tenant,
    take,
)
from ambit.metering.limits import Admission, QuotaSpent, RateLimited, admit, tokens_left
from ambit.metering.models import Limit
from ambit.metering.queries import next_month
from tests.database.asking import asking
from tests.database.metering import Metered, make_metered, opened, used
from tests.database.worlds import working

NOWHERE = "unix:///nowhere/redis.sock"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    limits._remembered.clear()
    yield
    limits._remembered.clear()


@pytest.fixture
def metered(database: Stack) -> Metered:
    """Return a tenant that nothing limits."""
    return make_metered()


@pytest.fixture
def redis(database: Stack, settings: Settings) -> Iterator[Any]:
    """Return a client of the stack's Redis."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


def limit(tenant_id: UUID, **values: int) -> None:
    """Set limits as the operator does, without waiting for what processes remember."""
    with working(tenant_id):
        Limit.objects.all().delete()
        Limit.objects.create(**values)
    limits.forget_limits(tenant_id)


def ask(tenant_id: UUID, member_id: UUID, *, takes_tokens: bool = True) -> Admission:
    """Ask to be let in."""
    return asyncio.run(
        admit(tenant_id=tenant_id, member_id=member_id, key_id=None, takes_tokens=takes_tokens)
    )


def test_many_threads_never_take_more_than_the_bucket_holds(database: Stack) -> None:
    # So slow to fill that nothing comes back meanwhile: a minute's 60 s / 10 is 6 s.
    bucket = bucket_of_tenant(uuid4(), per_minute=10)

    with ThreadPoolExecutor(16) as threads:
        given = list(threads.map(lambda _: take([bucket]), range(200)))

    assert sum(taken.retry_after_s is None for taken in given) == 10
    assert all(1 <= (taken.retry_after_s or 1) <= 6 for taken in given)


def test_many_processes_never_take_more_than_the_bucket_holds(database: Stack) -> None:
    bucket = bucket_of_tenant(uuid4(), per_minute=10)

    with ExitStack() as running:
        askers = [running.enter_context(asking("take", bucket.key, "10", "25")) for _ in range(3)]
        for asker in askers:
            asker.wait_for("ready")
        for asker in askers:
            asker.say("go")
        given = sum(int(asker.hear()) for asker in askers)

    assert given == 10


def test_a_bucket_fills_at_its_rate(database: Stack, redis: Any) -> None:
    bucket = bucket_of_tenant(uuid4(), per_minute=4)
    for _ in range(4):
        assert take([bucket]).retry_after_s is None
    assert 1 < (take([bucket]).retry_after_s or 0) <= 15

    # As if 31 of the 15 seconds that each takes had passed.
    redis.set(bucket.key, int(redis.get(bucket.key)) - 31_000_000, keepttl=True)

    assert [take([bucket]).retry_after_s is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("per_minute", [1, 2, 7])
def test_a_full_bucket_holds_exactly_its_size(database: Stack, per_minute: int) -> None:
    bucket = bucket_of_tenant(uuid4(), per_minute=per_minute)

    taken = [take([bucket]) for _ in range(per_minute + 1)]

    assert [one.levels[0].left for one in taken] == [*reversed(range(per_minute)), 0]
    assert [one.retry_after_s is None for one in taken] == [*[True] * per_minute, False]


def test_what_one_bucket_refuses_the_other_does_not_lose(metered: Metered) -> None:
    tenant = bucket_of_tenant(metered.tenant_id, per_minute=10)
    member = bucket_of_member(metered.tenant_id, metered.alice, per_minute=2)

    taken = [take([tenant, member]) for _ in range(6)]

    assert [one.retry_after_s is None for one in taken] == [True, True, *[False] * 4]
    assert [one.levels[0].left for one in taken] == [9, *[8] * 5]


def test_keys_hold_ids_and_numbers_and_go_by_themselves(metered: Metered, redis: Any) -> None:
    bucket = bucket_of_member(metered.tenant_id, metered.alice, per_minute=5)
    take([bucket])

    assert re.fullmatch(r"ambit\.rate\.\{[0-9a-f-]{36}\}\.[0-9a-f-]{36}", bucket.key)
    assert str(redis.get(bucket.key), "ascii").isdecimal()
    assert 0 < redis.pttl(bucket.key) <= 12_000


def test_a_clock_that_was_set_back_shuts_nobody_out_for_longer_than_a_minute(
    database: Stack, redis: Any
) -> None:
    bucket = bucket_of_tenant(uuid4(), per_minute=2)
    take([bucket])
    redis.set(bucket.key, int(redis.get(bucket.key)) + 3600 * 10**6)

    assert take([bucket]).retry_after_s == 30


def test_a_member_is_limited_and_its_colleague_is_not(metered: Metered) -> None:
    limit(metered.tenant_id, requests_per_minute=10, member_requests_per_minute=2)
    first = ask(metered.tenant_id, metered.alice)
    ask(metered.tenant_id, metered.alice)

    with pytest.raises(RateLimited) as refused:
        ask(metered.tenant_id, metered.alice)

    assert first.headers == {
        "RateLimit-Policy": '"tenant";q=10;w=60, "member";q=2;w=60',
        "RateLimit": '"tenant";r=9;t=6, "member";r=1;t=30',
    }
    assert refused.value.who == "This member"
    assert 1 < refused.value.retry_after_s <= 30
    assert re.search(r'"member";r=0;t=\d+$', refused.value.headers["RateLimit"])
    ask(metered.tenant_id, metered.bob)


def test_a_tenant_is_limited_whoever_asks_and_another_tenant_is_not(metered: Metered) -> None:
    other = make_metered()
    for tenant_id in (metered.tenant_id, other.tenant_id):
        limit(tenant_id, requests_per_minute=2)
    ask(metered.tenant_id, metered.alice)
    ask(metered.tenant_id, metered.bob)

    with pytest.raises(RateLimited, match="tenant"):
        ask(metered.tenant_id, metered.bob)

    assert ask(other.tenant_id, other.alice).headers["RateLimit"] == '"tenant";r=1;t=30'


def test_where_nothing_is_limited_redis_is_not_asked(metered: Metered, settings: Settings) -> None:
    settings.REDIS_URL = NOWHERE

    assert ask(metered.tenant_id, metered.alice) == Admission({}, None)


def test_where_a_limit_is_set_and_redis_is_down_nobody_is_let_in(
    metered: Metered, settings: Settings
) -> None:
    settings.REDIS_URL = NOWHERE
    settings.AMBIT_REQUESTS_PER_MINUTE = 1000

    with pytest.raises(LimitsUnavailable):
        ask(metered.tenant_id, metered.alice)


def test_the_deployments_limits_hold_where_the_tenant_has_none_of_its_own(
    metered: Metered, settings: Settings
) -> None:
    settings.AMBIT_REQUESTS_PER_MINUTE = 7
    limit(metered.tenant_id, member_requests_per_minute=5)

    assert (
        ask(metered.tenant_id, metered.alice).headers["RateLimit-Policy"]
        == '"tenant";q=7;w=60, "member";q=5;w=60'
    )

    limit(metered.tenant_id, requests_per_minute=0)
    assert ask(metered.tenant_id, metered.alice).headers == {}


def test_a_spent_quota_refuses_what_takes_tokens_and_nothing_else(metered: Metered) -> None:
    limit(metered.tenant_id, tokens_per_month=150)
    used(metered.tenant_id, metered.alice)
    assert ask(metered.tenant_id, metered.alice).tokens_left == 50
    assert asyncio.run(tokens_left(metered.tenant_id)) == 50
    used(metered.tenant_id, metered.bob)
    assert asyncio.run(tokens_left(metered.tenant_id)) == 0

    with pytest.raises(QuotaSpent) as refused:
        ask(metered.tenant_id, metered.alice)

    ask(metered.tenant_id, metered.alice, takes_tokens=False)
    now = timezone.now().astimezone(UTC)
    renews_at = refused.value.renews_at
    assert renews_at > now
    assert (renews_at.day, renews_at.hour) == (1, 0)
    assert (renews_at - now).days <= 31
    assert refused.value.retry_after_s >= (renews_at - now).total_seconds()


def test_what_is_under_way_counts_against_the_quota(metered: Metered) -> None:
    limit(metered.tenant_id, tokens_per_month=1000)
    opened(metered.tenant_id, metered.alice, prompt_estimate=400)
    opened(metered.tenant_id, metered.bob, prompt_estimate=250)

    assert asyncio.run(tokens_left(metered.tenant_id)) == 350


def test_a_redis_that_lost_everything_gives_no_tenant_its_month_anew(
    metered: Metered, redis: Any
) -> None:
    limit(metered.tenant_id, tokens_per_month=100)
    used(metered.tenant_id, metered.alice)
    for key in redis.scan_iter("ambit.*"):
        redis.delete(key)
    limits.forget_limits(metered.tenant_id)

    with pytest.raises(QuotaSpent):
        ask(metered.tenant_id, metered.alice)


def test_no_quota_is_nothing_left_to_tell(metered: Metered) -> None:
    assert asyncio.run(tokens_left(metered.tenant_id)) is None


@pytest.mark.parametrize(
    ("now", "then"), [("2026-01-31", "2026-02-01"), ("2026-12-01", "2027-01-01")]
)
def test_quotas_begin_anew_with_the_next_month(now: str, then: str) -> None:
    at = datetime.fromisoformat(f"{now}T13:00:00+00:00")

    assert next_month(at) == datetime.fromisoformat(f"{then}T00:00:00+00:00")
