"""Places on the model are shared fairly, between tenants and between processes, and nobody's is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings
from redis import Redis

from ambit.config.runtime.supervisor import Stack
from ambit.metering import places
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.places import KEYS
from ambit.metering.turns import NoTurn, Turn, turn
from tests.database.asking import asking

HELD, WAITING = KEYS[0], KEYS[1]


@pytest.fixture(autouse=True)
def redis(database: Stack, settings: Settings) -> Iterator[Any]:
    """Return a client of the stack's Redis, in which no place is held before or after."""
    settings.AMBIT_VLLM_CONCURRENCY = 4
    settings.AMBIT_VLLM_QUEUE_S = 10
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*KEYS)
        yield client
        until(lambda: client.zcard(HELD) == client.zcard(WAITING) == 0)


def until(is_so: Callable[[], bool], *, within_s: float = 5) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


class Asked:
    """Requests of tenants, in the order in which they got a place; each holds it until it is told to leave."""

    def __init__(self, stack: asyncio.TaskGroup) -> None:
        self.group = stack
        self.began: list[tuple[UUID, Turn]] = []
        self.leaving: list[asyncio.Event] = []

    async def ask(self, tenant_id: UUID) -> None:
        """Wait for a place and hold it."""
        async with turn(tenant_id) as got:
            self.began.append((tenant_id, got))
            event = asyncio.Event()
            self.leaving.append(event)
            await event.wait()

    async def burst(self, tenant_id: UUID, n: int) -> None:
        """Let a tenant ask so often; return when the requests are known."""
        for _ in range(n):
            self.group.create_task(self.ask(tenant_id))
        await asyncio.sleep(0.05)

    async def until_began(self, n: int) -> list[UUID]:
        """Wait until so many have a place; return whose they are."""
        async with asyncio.timeout(5):
            while len(self.began) < n:
                await asyncio.sleep(0.005)
        return [tenant_id for tenant_id, _ in self.began]

    def leave(self, n: int) -> None:
        """Let the first so many that hold a place go."""
        for _ in range(n):
            self.leaving.pop(0).set()


def play(story: Callable[[Asked], Awaitable[None]]) -> Asked:
    """Run requests beside one another, and end them all."""

    async def run() -> Asked:
        async with asyncio.TaskGroup() as group:
            asked = Asked(group)
            await story(asked)
            for task in list(group._tasks):
                task.cancel()
        return asked

    return asyncio.run(run())


def test_a_tenant_alone_may_have_every_place_and_no_more() -> None:
    tenant_id = uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(tenant_id, 7)
        assert await asked.until_began(4) == [tenant_id] * 4
        await asyncio.sleep(0.2)
        assert len(asked.began) == 4
        asked.leave(2)
        await asked.until_began(6)
        await asyncio.sleep(0.2)
        assert len(asked.began) == 6

    asked = play(story)

    assert [got.priority for _, got in asked.began[:4]] == [0, 1, 2, 3]


def test_a_burst_keeps_another_tenant_waiting_for_one_request_alone(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 16
    a, b = uuid4(), uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(a, 16 + 50)
        await asked.until_began(16)
        await asked.burst(b, 1)
        assert b not in await asked.until_began(16)
        asked.leave(1)
        assert await asked.until_began(17) == [*[a] * 16, b]
        assert asked.began[-1][1].priority == 0

    play(story)


def test_places_are_shared_alike_between_those_that_wait() -> None:
    a, b, c = uuid4(), uuid4(), uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(a, 12)
        await asked.until_began(4)
        await asked.burst(b, 6)
        await asked.burst(c, 6)
        for n in range(4):
            asked.leave(1)
            await asked.until_began(5 + n)

    asked = play(story)

    # All four that left were of a: b and c come up to its level, and then each is served in turn.
    assert [tenant_id for tenant_id, _ in asked.began[4:]] == [b, c, a, b]


def test_with_one_place_tenants_take_turns_however_long_ones_queue_is(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 1
    a, b = uuid4(), uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(a, 5)
        await asked.burst(b, 2)
        for n in range(5):
            asked.leave(1)
            await asked.until_began(2 + n)

    assert [tenant_id for tenant_id, _ in play(story).began] == [a, b, a, b, a, a]


def test_requests_of_one_tenant_come_in_their_order(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 1
    tenant_id, order = uuid4(), []

    async def one(n: int) -> None:
        async with turn(tenant_id):
            order.append(n)

    async def story(asked: Asked) -> None:
        await asked.burst(tenant_id, 1)
        tasks = []
        for n in range(4):
            tasks.append(asyncio.create_task(one(n)))
            await asyncio.sleep(0.03)
        asked.leave(1)
        await asyncio.gather(*tasks)

    play(story)

    assert order == [0, 1, 2, 3]


def test_who_waited_long_enough_is_told_to_come_again_and_gets_no_place_later(
    settings: Settings, redis: Any
) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 1
    settings.AMBIT_VLLM_QUEUE_S = 0.2

    async def story(asked: Asked) -> None:
        await asked.burst(uuid4(), 1)
        began = time.monotonic()
        with pytest.raises(NoTurn):
            async with turn(uuid4()):
                pass
        assert time.monotonic() - began >= settings.AMBIT_VLLM_QUEUE_S
        await asyncio.to_thread(until, lambda: redis.zcard(WAITING) == 0)
        asked.leave(1)
        await asyncio.to_thread(until, lambda: redis.zcard(HELD) == 0)

    play(story)

    assert NoTurn.retry_after_s > 0


def test_more_of_a_tenant_than_may_wait_are_told_so_at_once(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 1
    a, b = uuid4(), uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(a, 5)
        began = time.monotonic()
        with pytest.raises(NoTurn):
            async with turn(a):
                pass
        assert time.monotonic() - began < settings.AMBIT_VLLM_QUEUE_S
        await asked.burst(b, 1)
        asked.leave(1)
        assert (await asked.until_began(2))[1] == b

    play(story)


def test_who_is_cancelled_leaves_no_place_and_no_request_behind(
    settings: Settings, redis: Any
) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 2

    async def story(asked: Asked) -> None:
        await asked.burst(uuid4(), 2)
        waiting = asyncio.create_task(asked.ask(uuid4()))
        await asyncio.to_thread(until, lambda: redis.zcard(WAITING) == 1)
        waiting.cancel()
        await asyncio.to_thread(until, lambda: redis.zcard(WAITING) == 0)

    play(story)

    until(lambda: redis.zcard(HELD) == 0)


def test_many_that_come_and_go_never_hold_more_than_there_are(redis: Any) -> None:
    at_work, most = 0, 0

    async def one(tenant_id: UUID, n: int) -> None:
        nonlocal at_work, most
        async with turn(tenant_id):
            at_work += 1
            most = max(most, at_work)
            try:
                await asyncio.sleep(0.002 * (n % 5))
            finally:
                at_work -= 1

    async def run() -> None:
        tenants = [uuid4() for _ in range(8)]
        tasks = [asyncio.create_task(one(tenants[n % 8], n)) for n in range(96)]
        for task in tasks[::7]:
            await asyncio.sleep(0.001)
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in ended} <= {type(None), asyncio.CancelledError}

    asyncio.run(run())

    assert most == 4
    until(lambda: redis.zcard(HELD) == redis.zcard(WAITING) == 0)


def test_places_of_a_process_that_was_killed_are_free_when_its_lease_ends(redis: Any) -> None:
    with asking("hold", "4", "0.6", str(uuid4()), "4") as other:
        for _ in range(4):
            other.wait_for("held")
        # Longer than a lease: they are kept while the process lives.
        time.sleep(1.2)
        assert redis.zcard(HELD) == 4
        other.process.kill()

        async def run() -> float:
            began = time.monotonic()
            async with AsyncExitStack() as stack:
                for _ in range(4):
                    await stack.enter_async_context(turn(uuid4()))
            return time.monotonic() - began

        assert asyncio.run(run()) > 0.05


def test_what_another_process_gives_back_is_had_at_once(redis: Any) -> None:
    with asking("hold", "4", "15", str(uuid4()), "4") as other:
        for _ in range(4):
            other.wait_for("held")

        async def story(asked: Asked) -> None:
            await asked.burst(uuid4(), 2)
            assert asked.began == []
            other.say("leave")
            await asked.until_began(2)

        play(story)


def test_a_redis_that_lost_everything_is_told_again(
    redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LEASE_S", 0.6)
    tenant_id = uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(tenant_id, 5)
        await asked.until_began(4)
        redis.delete(*KEYS)
        await asyncio.to_thread(until, lambda: redis.zcard(HELD) == 4)
        await asyncio.to_thread(until, lambda: redis.zcard(WAITING) == 1)
        assert len(asked.began) == 4

    play(story)


def test_without_redis_nobody_gets_a_place(settings: Settings) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"

    async def run() -> None:
        async with turn(uuid4()):
            pass

    with pytest.raises(LimitsUnavailable):
        asyncio.run(run())
    settings.REDIS_URL = url
    asyncio.run(run())


def test_where_places_are_not_limited_redis_is_not_asked(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONCURRENCY = 0
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    async def run() -> Turn:
        async with turn(uuid4()) as got:
            return got

    assert asyncio.run(run()) == Turn(priority=0)


def test_waiting_costs_a_look_now_and_then_however_many_wait(redis: Any) -> None:
    async def story(asked: Asked) -> None:
        await asked.burst(uuid4(), 4)
        for _ in range(10):
            await asked.burst(uuid4(), 5)
        before = _looks(redis)
        await asyncio.sleep(1)
        assert 1 <= _looks(redis) - before <= 20

    play(story)


def _looks(redis: Any) -> int:
    return int(redis.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_the_queue_names_nobody_but_by_ids(redis: Any) -> None:
    tenant_id = uuid4()

    async def story(asked: Asked) -> None:
        await asked.burst(tenant_id, 5)
        for key in (HELD, WAITING):
            for one in redis.zrange(key, 0, -1):
                of, _, ticket = one.decode().partition(":")
                assert (UUID(of), UUID(ticket).version) == (tenant_id, 4)
        assert all(0 < redis.pttl(key) <= 150_000 for key in KEYS)

    play(story)
