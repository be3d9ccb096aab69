"""Who is cancelled ends, also in the very moment in which what it waits for is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any
from uuid import UUID

import pytest

from ambit.answers import watch
from ambit.api import asking
from ambit.metering import turns
from tenants import steps
from tenants.steps import Places, in_step, places_for

TENANT = UUID(int=1)
STEPS = range(8)


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


async def cancelled_after(n_steps: int, waiting: Coroutine[Any, Any, Any]) -> None:
    """Cancel it so many turns of the loop after its beginning, and wait for its end."""
    task = asyncio.create_task(waiting)
    for _ in range(n_steps):
        await asyncio.sleep(0)
    if task.cancel():
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done and task.cancelled()


def there_after_a_turn(value: object) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(future.set_result, value)
    return future


@pytest.mark.parametrize("n_steps", STEPS)
def test_the_watch_over_an_answer(n_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked(*_: object) -> object:
        return await there_after_a_turn(value=True)

    monkeypatch.setattr(watch, "_look", looked)
    asyncio.run(cancelled_after(n_steps, watch._still(lambda: True, TENANT)))


@pytest.mark.parametrize("n_steps", STEPS)
def test_a_tenants_poll(n_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_POLLS", AtOnce())
    monkeypatch.setattr(watch, "_epoch_of", lambda _: 1)

    async def polling() -> None:
        one = watch._Watch(TENANT)
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)
        await cancelled_after(n_steps, one._poll())

    asyncio.run(polling())


@pytest.mark.parametrize("n_steps", STEPS)
def test_the_wait_for_a_turn(n_steps: int) -> None:
    async def granted() -> None:
        await turns._granted(there_after_a_turn(value=0))

    asyncio.run(cancelled_after(n_steps, granted()))


async def has_only(n: int, places: Places) -> None:
    """Make sure that as many places as there are can be had, and no more."""
    async with asyncio.timeout(5):
        for _ in range(n):
            await places.take("next")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await places.take("next")


@pytest.mark.parametrize("n_steps", STEPS)
def test_the_wait_for_a_place_loses_none(n_steps: int) -> None:
    async def of() -> None:
        places = Places(1)
        await places.take("before")

        async def taken() -> None:
            # Given back while it waits: the grant and the cancellation meet in every order.
            asyncio.get_running_loop().call_soon(places.give_back, "before")
            await places.take("one")
            try:
                await asyncio.sleep(0)
            finally:
                places.give_back("one")

        await cancelled_after(n_steps, taken())
        if not n_steps:
            # It never began.
            places.give_back("before")
        await has_only(1, places)

    asyncio.run(of())


@pytest.mark.parametrize("is_first", [True, False])
def test_a_place_granted_to_who_leaves_in_that_moment_goes_to_the_next(*, is_first: bool) -> None:
    async def of() -> None:
        places = Places(1)
        await places.take("before")
        leaving = asyncio.create_task(places.take("one"))
        await asyncio.sleep(0)
        following = asyncio.create_task(places.take("two"))
        await asyncio.sleep(0)
        if is_first:
            leaving.cancel()
            places.give_back("before")
        else:
            places.give_back("before")
            leaving.cancel()
        async with asyncio.timeout(5):
            await following
        assert leaving.cancelled()
        places.give_back("two")
        await has_only(1, places)

    asyncio.run(of())


@pytest.mark.parametrize("n_steps", range(12))
def test_a_step_that_is_left_gives_its_place_back(n_steps: int, settings: Any) -> None:
    settings.AMBIT_DATABASE_POOL = 1 + steps.LEFT_TO_OTHERS

    async def of() -> None:
        await cancelled_after(n_steps, in_step(lambda: None, of="one"))
        await has_only(1, places_for("steps", n_places=1))

    asyncio.run(of())


@pytest.mark.parametrize("n_steps", range(12))
def test_an_embedding_that_is_left_gives_its_place_back(
    n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "EMBEDDED_AT_ONCE", 1)
    monkeypatch.setattr(asking, "embed_query", lambda _: None)

    async def of() -> None:
        await cancelled_after(n_steps, asking._embedded("leave", of=TENANT))
        await has_only(1, places_for("embedding", n_places=1))

    asyncio.run(of())
