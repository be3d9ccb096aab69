"""Server-sent events: what is told while an answer is written, as it happens.

Writing and sending are two tasks. What is written waits in memory for whoever reads slowly, so that a
client that never reads holds neither the model nor the database; one that goes away ends both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.http import StreamingHttpResponse

from ambit.answers.types import Event, Tell

# Sent when nothing was for so long, so that no proxy takes the stream for dead.
KEEP_ALIVE_S = 10.0
KEEP_ALIVE = b": still at work\n\n"
HEADERS = {
    "Cache-Control": "no-store",
    # nginx would otherwise collect events before it passes them on.
    "X-Accel-Buffering": "no",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """The last that is told: what was made."""

    value: T


@dataclass(frozen=True, slots=True)
class Failed:
    """The last that is told: why nothing was made."""

    error: Exception


class EventStream(StreamingHttpResponse):
    """Events as they come; what was made ready for them is given up where nobody begins to read."""

    def __init__(self, pieces: AsyncIterator[bytes], *, unread: Callable[[], None]) -> None:
        super().__init__(
            pieces, content_type="text/event-stream; charset=utf-8", headers=dict(HEADERS)
        )
        self._unread = unread

    def close(self) -> None:
        """End the response, read or not."""
        super().close()
        self._unread()


def event_stream(
    pieces: AsyncIterator[bytes], *, unread: Callable[[], None] = lambda: None
) -> EventStream:
    """Answer with events; unread is called at the end of the response, also where nothing was read of it."""
    return EventStream(pieces, unread=unread)


def event(name: str, data: Any) -> bytes:
    """Return one event; its data is one line of JSON, in ASCII: U+2028 ends a line for some."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def unnamed(data: Any) -> bytes:
    """Return an event as OpenAI's API sends it, without a name."""
    return f"data: {json.dumps(data)}\n\n".encode()


async def told(
    work: Callable[[Tell], Awaitable[T]],
    *,
    is_void: Callable[[Made[T] | Failed], bool] = lambda _: False,
) -> AsyncIterator[Event | Made[T] | Failed | None]:
    """Yield what the work tells, then how it ended; None where nothing happened for a while.

    is_void: says of an end that nothing more may be given: what still waits for a slow reader is then
    told no more.

    Leaving early cancels the work. Whoever has not read all within AMBIT_STREAM_READ_S after its end
    is cancelled.
    """
    waiting: asyncio.Queue[Event | Made[T] | Failed] = asyncio.Queue()
    reader = asyncio.current_task()
    loop = asyncio.get_running_loop()
    given_up: asyncio.TimerHandle | None = None

    async def do() -> None:
        nonlocal given_up
        end: Made[T] | Failed
        try:
            end = Made(await work(waiting.put_nowait))
        except Exception as error:  # noqa: BLE001 - the edge: every exception becomes an event
            end = Failed(error)
        if is_void(end):
            while not waiting.empty():
                waiting.get_nowait()
        waiting.put_nowait(end)
        if reader is not None:
            given_up = loop.call_later(settings.AMBIT_STREAM_READ_S, reader.cancel)

    task = asyncio.create_task(do())
    try:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    step = await waiting.get()
            except TimeoutError:
                yield None
                continue
            yield step
            if isinstance(step, Made | Failed):
                return
    finally:
        if given_up is not None:
            given_up.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
