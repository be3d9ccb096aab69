"""Steps of asynchronous work that ask the database: in threads, and no more at once than leave others connections.

Places are dealt as those on the model are (ambit/metering/turns.py), within a process: a free one goes to the line
that holds the fewest, and of those to the one that waits longest for a turn; inside a line, who came first is first.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings

T = TypeVar("T")
# Of a process's connections so many stay for what must never wait in line, such as the watch over answers.
LEFT_TO_OTHERS = 2
# Where somebody else pools the connections.
UNPOOLED = 32
# As long as a connection of the pool is waited for.
PLACE_S = 10.0


class NoPlace(RuntimeError):
    """No place became free in time: as many steps are being done as may; try again."""


class Places:
    """So many places of one event loop, shared fairly between lines, such as one for each tenant."""

    def __init__(self, n_places: int) -> None:
        self._n_free = n_places
        self._held: Counter[Hashable] = Counter()
        # In the order in which they wait for a turn. Who has left is passed over when it comes.
        self._lines: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, line: Hashable) -> None:
        """Wait in a line for a place; who is cancelled holds none."""
        granted = asyncio.get_running_loop().create_future()
        self._lines.setdefault(line, deque()).append(granted)
        self._deal()
        try:
            await granted
        except BaseException:
            granted.cancel()
            if not granted.cancelled():
                # Granted in the very moment.
                self.give_back(line)
            raise

    def give_back(self, line: Hashable) -> None:
        """Let the next one have a place of this line."""
        self._held[line] -= 1
        if not self._held[line]:
            del self._held[line]
        self._n_free += 1
        self._deal()

    def _deal(self) -> None:
        while self._n_free and self._lines:
            line = min(self._lines, key=lambda one: self._held[one])
            waiting = self._lines[line]
            granted = waiting.popleft()
            if not granted.done():
                granted.set_result(None)
                self._n_free -= 1
                self._held[line] += 1
                self._lines.move_to_end(line)
            if not waiting:
                del self._lines[line]


_PLACES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Places]] = WeakKeyDictionary()


def places_for(work: str, *, n_places: int) -> Places:
    """Return the running loop's places for a kind of work, made with the first call."""
    of_loop = _PLACES.setdefault(asyncio.get_running_loop(), {})
    if work not in of_loop:
        of_loop[work] = Places(n_places)
    return of_loop[work]


async def in_step(step: Callable[[], T], *, of: Hashable, patient: bool = False) -> T:
    """Do a step in a thread once there is a place for it; waiting keeps no thread.

    of: in which line it waits: the tenant's id, wherever it is known. Raises NoPlace where there is none for
    PLACE_S; patient: what must be done waits for as long as it takes. A step that has begun keeps its place until
    its thread is done, also where its asker leaves.
    """
    pool = settings.AMBIT_DATABASE_POOL
    places = places_for("steps", n_places=max(1, pool - LEFT_TO_OTHERS) if pool else UNPOOLED)
    try:
        async with asyncio.timeout(None if patient else PLACE_S):
            await places.take(of)
    except TimeoutError:
        raise NoPlace from None
    working = asyncio.ensure_future(sync_to_async(step)())

    def give_back(done: asyncio.Future[T]) -> None:
        places.give_back(of)
        # Of who has left, a failure is nobody's.
        _ = done.cancelled() or done.exception()

    working.add_done_callback(give_back)
    return await asyncio.shield(working)
