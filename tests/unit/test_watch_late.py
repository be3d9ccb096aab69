"""A loop that came late to what a poll has found ends nobody's answer; a database that is silent does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import pytest

from ambit.answers import watch

TENANT = UUID(int=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often, and leave a poll a second: on a busy machine its thread may come late too."""
    for name, seconds in (("POLL_S", 0.1), ("SILENT_S", 1.0), ("SHORTEST_S", 1.0)):
        monkeypatch.setattr(watch, name, seconds)


def watched(work: Coroutine[Any, Any, None]) -> None:
    async def of() -> None:
        async with asyncio.timeout(10):
            await work

    asyncio.run(of())


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_loop_that_was_late_goes_on(monkeypatch: pytest.MonkeyPatch, *, is_asked: bool) -> None:
    polls: list[float] = []

    def answers_soon(_: UUID) -> int:
        time.sleep(0.05)
        polls.append(time.monotonic())
        return 1

    monkeypatch.setattr(watch, "_epoch_of", answers_soon)

    async def of() -> None:
        with watch._watching(TENANT) as watching:
            while len(polls) < 2:
                await asyncio.sleep(0.01)
            # While a poll is asked, or between two of them.
            await asyncio.sleep(0.06 if is_asked else 0.02)
            # As long as a long answer compared with its passages might keep the loop.
            time.sleep(2 * watch.SILENT_S)
            so_far = len(polls)
            while len(polls) < so_far + 3:
                await asyncio.sleep(0.01)
            assert not watching.is_over

    watched(of())


def test_a_database_that_is_silent_ends_it_once_it_was_late_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent, over = threading.Event(), threading.Event()

    def falls_silent(_: UUID) -> int:
        if silent.is_set():
            over.wait(10)
        return 1

    monkeypatch.setattr(watch, "_epoch_of", falls_silent)

    async def of() -> None:
        with watch._watching(TENANT) as watching:
            while watching.epoch is None:
                await asyncio.sleep(0.01)
            silent.set()
            time.sleep(2 * watch.SILENT_S)
            assert await watching.later_than(1) is None

    try:
        watched(of())
    finally:
        over.set()
