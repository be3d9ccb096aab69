"""Steps of asynchronous work that ask the database: in threads, and no more at once than leave others connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings

T = TypeVar("T")
# Of a process's connections so many stay for what must never wait in line, such as the watch over answers.
LEFT_TO_OTHERS = 2
# Where somebody else pools the connections.
UNPOOLED = 32

_PLACES: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def in_step(step: Callable[[], T]) -> T:
    """Do a step in a thread of its own once there is a place for it; waiting keeps no thread."""
    loop = asyncio.get_running_loop()
    places = _PLACES.get(loop)
    if places is None:
        pool = settings.AMBIT_DATABASE_POOL
        n_places = max(1, pool - LEFT_TO_OTHERS) if pool else UNPOOLED
        places = _PLACES[loop] = asyncio.Semaphore(n_places)
    async with places:
        return await sync_to_async(step)()
