"""Places among the requests at work on the model, shared fairly between tenants and across processes.

Max-min fair: a free place goes to the waiting tenant that has the fewest, and among those to who waits longest. So
a tenant alone may have all places, and a burst of one keeps another waiting for no longer than one request takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from ambit.metering import figures
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.places import QueueFull, Room

RETRY_S = 5


class NoTurn(RuntimeError):
    """No place became free in time, or too many requests of the tenant wait already; try again."""

    retry_after_s = RETRY_S


@dataclass(frozen=True, slots=True)
class Turn:
    """A place among the requests at work."""

    # How many of the tenant's requests are at work already: vLLM serves a lower number first.
    priority: int = 0


_room = Room()


@asynccontextmanager
async def turn(tenant_id: UUID) -> AsyncIterator[Turn]:
    """Wait for a place for AMBIT_VLLM_QUEUE_S at most and hold it until the block ends.

    Raises NoTurn; LimitsUnavailable where Redis cannot be reached. The place of a process that dies is free again
    once its lease ends. Leaving waits for nothing, so that what is cancelled is over at once.
    """
    if not settings.AMBIT_VLLM_CONCURRENCY:
        yield Turn()
        return
    ticket, granted = _room.enter(tenant_id)
    try:
        yield Turn(await _granted(asyncio.wrap_future(granted)))
    finally:
        _room.leave(ticket)


async def _granted(granted: asyncio.Future[int]) -> int:
    try:
        async with asyncio.timeout(settings.AMBIT_VLLM_QUEUE_S):
            return await granted
    except (TimeoutError, QueueFull) as error:
        figures.count_refused("no_turn")
        raise NoTurn from error
    except LimitsUnavailable:
        figures.count_refused("limits_unavailable")
        raise
