"""Steps have places: no more at once, one until its thread is done, and no wait for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.db import OperationalError
from pytest_django.fixtures import Settings

from tenants import steps
from tenants.steps import in_step


class Working:
    """A step that works until it is let go, and counts how many do at once."""

    def __init__(self) -> None:
        self.n, self.most = 0, 0
        self.over = threading.Event()
        self._counting = threading.Lock()

    def __call__(self) -> None:
        with self._counting:
            self.n += 1
            self.most = max(self.most, self.n)
        self.over.wait(10)
        with self._counting:
            self.n -= 1


@pytest.fixture
def two_places(settings: Settings) -> None:
    settings.AMBIT_DATABASE_POOL = 2 + steps.LEFT_TO_OTHERS


async def began(working: Working, n: int) -> None:
    async with asyncio.timeout(5):
        while working.n < n:
            await asyncio.sleep(0.01)


async def as_a_request(step: Working) -> None:
    """Do it in a thread of its own, as Django has one for each request."""
    async with ThreadSensitiveContext():
        await in_step(step)


@pytest.mark.usefixtures("two_places")
@pytest.mark.parametrize("leaving", [False, True])
def test_no_more_work_at_once_than_have_places(*, leaving: bool) -> None:
    working = Working()

    async def of() -> None:
        asking = [asyncio.create_task(as_a_request(working)) for _ in range(6)]
        await began(working, 2)
        if leaving:
            # Their threads work on, and keep their places.
            for task in asking[:2]:
                task.cancel()
        await asyncio.sleep(0.2)
        working.over.set()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(of())
    assert working.most == 2


@pytest.mark.usefixtures("two_places")
def test_who_finds_no_place_is_told_and_what_must_be_done_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "PLACE_S", 0.1)
    working = Working()
    done: list[int] = []

    async def of() -> None:
        asking = [asyncio.create_task(as_a_request(working)) for _ in range(2)]
        await began(working, 2)
        with pytest.raises(OperationalError):
            await in_step(lambda: done.append(1))
        must = asyncio.create_task(in_step(lambda: done.append(2), patient=True))
        await asyncio.sleep(0.3)
        working.over.set()
        await asyncio.gather(*asking, must)

    asyncio.run(of())
    assert done == [2]
