"""Steps have places: no more at once, one until its thread is done, fairly between tenants, and no wait for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import ThreadSensitiveContext
from pytest_django.fixtures import Settings

from tenants import steps
from tenants.steps import NoPlace, Places, in_step


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
        await in_step(step, of="one")


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
        with pytest.raises(NoPlace):
            await in_step(lambda: done.append(1), of="one")
        must = asyncio.create_task(in_step(lambda: done.append(2), of="one", patient=True))
        await asyncio.sleep(0.3)
        working.over.set()
        await asyncio.gather(*asking, must)

    asyncio.run(of())
    assert done == [2]


@pytest.mark.usefixtures("two_places")
def test_who_fails_leaves_the_place_to_the_next() -> None:
    async def of() -> None:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await in_step(lambda: 1 // 0, of="one")
        async with asyncio.timeout(5):
            await in_step(lambda: None, of="one")

    asyncio.run(of())


class Office:
    """Serves whoever has a place, one after the other, and notes whom."""

    def __init__(self, n_places: int) -> None:
        self.places = Places(n_places)
        self.served: list[str] = []
        self.waiting: list[asyncio.Task[None]] = []

    async def come(self, *lines: str) -> None:
        self.waiting += [asyncio.create_task(self._visit(line)) for line in lines]
        await asyncio.sleep(0)

    async def hold(self, line: str, n: int) -> None:
        for _ in range(n):
            await self.places.take(line)

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await asyncio.gather(*self.waiting)

    async def _visit(self, line: str) -> None:
        await self.places.take(line)
        self.served.append(line)
        await asyncio.sleep(0)
        self.places.give_back(line)


def test_who_comes_after_a_hundred_of_another_waits_for_one_of_each_place() -> None:
    office = Office(6)

    async def of() -> None:
        await office.come(*["a"] * 100, "b", "c")
        await office.end()

    asyncio.run(of())
    assert office.served.index("b") <= 6
    assert office.served.index("c") <= 7
    assert len(office.served) == 102


def test_lines_take_turns_and_inside_one_the_first_is_first() -> None:
    office = Office(1)
    order: list[str] = []

    async def visit(name: str) -> None:
        await office.places.take(name[0])
        order.append(name)
        office.places.give_back(name[0])

    async def of() -> None:
        await office.hold("z", 1)
        names = ["a1", "a2", "a3", "b1", "b2", "c1"]
        tasks = [asyncio.create_task(visit(name)) for name in names]
        await asyncio.sleep(0)
        office.places.give_back("z")
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)

    asyncio.run(of())
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_free_place_goes_to_the_line_that_holds_the_fewest() -> None:
    office = Office(3)

    async def of() -> None:
        await office.hold("a", 2)
        await office.hold("b", 1)
        await office.come("a", "c", "b")
        office.places.give_back("a")
        await office.end()

    asyncio.run(of())
    # One of three came free: c holds none yet, a and b one each.
    assert office.served == ["c", "a", "b"]


def test_who_has_left_its_line_takes_no_turn_and_leaves_no_trace() -> None:
    office = Office(1)

    async def of() -> None:
        await office.hold("z", 1)
        await office.come("a", "b", "a")
        office.waiting[0].cancel()
        await asyncio.gather(office.waiting.pop(0), return_exceptions=True)
        office.places.give_back("z")
        await office.end()

    asyncio.run(of())
    assert office.served == ["a", "b"]
    assert not office.places._lines and not office.places._held
    assert office.places._n_free == 1


@pytest.mark.usefixtures("two_places")
def test_one_tenants_steps_do_not_keep_anothers_waiting() -> None:
    order: list[str] = []
    begin = threading.Event()

    def step(name: str) -> None:
        begin.wait(10)
        order.append(name)

    async def asked(name: str) -> None:
        async with ThreadSensitiveContext():
            await in_step(lambda: step(name), of=name)

    async def of() -> None:
        many = [asyncio.create_task(asked("a")) for _ in range(40)]
        await asyncio.sleep(0)
        one = asyncio.create_task(asked("b"))
        await asyncio.sleep(0.05)
        begin.set()
        await asyncio.gather(*many, one)

    asyncio.run(of())
    # The two that had places, and one that may be quicker.
    assert order.index("b") <= 3
