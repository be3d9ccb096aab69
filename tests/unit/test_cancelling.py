"""Who is cancelled ends, also in the very moment in which what it waits for is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any
from uuid import UUID

import pytest

from ambit.answers import watch
from ambit.metering import turns

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
