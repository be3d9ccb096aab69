"""Steps of asynchronous work that ask the database: in threads, and no more at once than leave others connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import OperationalError

T = TypeVar("T")
# Of a process's connections so many stay for what must never wait in line, such as the watch over answers.
LEFT_TO_OTHERS = 2
# Where somebody else pools the connections.
UNPOOLED = 32
# As long as a connection of the pool is waited for.
PLACE_S = 10.0

_PLACES: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def in_step(step: Callable[[], T], *, patient: bool = False) -> T:
    """Do a step in a thread once there is a place for it; waiting keeps no thread.

    Raises OperationalError where there is none for PLACE_S; patient: what must be done waits for as long as it
    takes. A step that has begun keeps its place until its thread is done, also where its asker leaves.
    """
    places = _places()
    try:
        async with asyncio.timeout(None if patient else PLACE_S):
            await places.acquire()
    except TimeoutError:
        raise OperationalError("the places for steps are taken") from None
    working = asyncio.ensure_future(sync_to_async(step)())

    def give_back(done: asyncio.Future[T]) -> None:
        places.release()
        # Of who has left, a failure is nobody's.
        _ = done.cancelled() or done.exception()

    working.add_done_callback(give_back)
    return await asyncio.shield(working)


def _places() -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    places = _PLACES.get(loop)
    if places is None:
        pool = settings.AMBIT_DATABASE_POOL
        n_places = max(1, pool - LEFT_TO_OTHERS) if pool else UNPOOLED
        places = _PLACES[loop] = asyncio.Semaphore(n_places)
    return places
