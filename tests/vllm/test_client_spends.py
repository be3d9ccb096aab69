"""What a text spends is known however it ends, and no way of ending leaves a connection."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from ambit.inference import vllm
from ambit.inference.vllm import (
    Generation,
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    TokenUsage,
    generating,
)
from tests.vllm.scripted import DONE, HOLD, STREAM, USAGE, delta, event
from tests.vllm.serving import Served, order, run, whole


def test_pieces_come_as_they_are_written(served: Served) -> None:
    served((STREAM, delta("five", spent=1), 1.0, delta(" days", "stop", spent=2), USAGE, DONE))

    async def first() -> tuple[str, float]:
        started = time.monotonic()
        async with generating(order(), deadline_s=10) as generation:
            return await anext(aiter(generation)), time.monotonic() - started

    piece, waited = run(first())

    assert piece == "five"
    assert waited < 0.8


def test_what_is_spent_is_known_at_any_moment_and_exact_at_the_end(served: Served) -> None:
    served((STREAM, delta("five", spent=1), delta(" days", "stop", spent=2), USAGE, DONE))

    async def watched() -> list[TokenUsage]:
        async with generating(order(), deadline_s=10) as generation:
            seen = [generation.usage]
            async for _ in generation:
                seen.append(generation.usage)
            return [*seen, generation.usage]

    first, one, two, last = run(watched())

    assert first == one == TokenUsage(9, 1, 0, exact=False)
    assert two == TokenUsage(9, 2, 0, exact=False)
    assert last == TokenUsage(9, 2, 4, exact=True)


RAISED: dict[str, contextlib.AbstractContextManager[object]] = {
    "cancelled": pytest.raises(asyncio.CancelledError),
    "deadline": pytest.raises(GenerationTimedOut),
    "cut": pytest.raises(GenerationUnavailable),
    "error": pytest.raises(GenerationUnavailable),
}


@pytest.mark.parametrize("how", ["cancelled", "left", "deadline", "cut", "error"])
def test_where_a_text_ends_early_the_last_counts_stand_and_no_connection_is_left(
    served: Served, how: str
) -> None:
    ends = {"cut": (), "error": (event(error={"code": 500}),)}
    server = served((STREAM, delta("five", spent=7), *ends.get(how, (HOLD,))))
    begun: list[Generation] = []

    async def read() -> None:
        async with generating(order(), deadline_s=0.5 if how == "deadline" else 30) as generation:
            begun.append(generation)
            async for _ in generation:
                if how == "left":
                    break

    async def ended() -> float:
        task = asyncio.create_task(read())
        while not begun:
            await asyncio.sleep(0.01)
        if how == "cancelled":
            await asyncio.sleep(0.1)
            task.cancel()
        with RAISED.get(how, contextlib.nullcontext()):
            await task
        # Before the loop ends, which would close whatever is open.
        return await asyncio.to_thread(server.wait_until_closed)

    assert run(ended()) < 0.5
    assert begun[0].usage == TokenUsage(9, 7, 0, exact=False)


def test_a_server_that_counts_nothing_is_counted_for(served: Served) -> None:
    served((STREAM, delta("five days and more"), HOLD))

    async def left() -> TokenUsage:
        async with generating(order(), deadline_s=10) as generation:
            await anext(aiter(generation))
            return generation.usage

    usage = run(left())

    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert not usage.exact


def test_who_reads_nothing_keeps_no_connection_beyond_the_deadline(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "LATE_S", 0.1)
    server = served((STREAM, delta("five", spent=1), HOLD))

    async def asleep() -> None:
        async with generating(order(), deadline_s=0.3) as generation:
            await asyncio.to_thread(server.wait_until_closed)
            with pytest.raises(GenerationTimedOut):
                _ = [piece async for piece in generation]

    run(asleep())


@pytest.mark.parametrize(
    "first",
    [
        event(error={"code": 400}),
        event(error={"code": 500}),
        event(error={"code": 503}),
        b"data: {not json\n\n",
    ],
)
def test_what_fails_with_its_first_event_leaves_no_connection(served: Served, first: bytes) -> None:
    server = served((STREAM, first, HOLD))

    async def failed() -> float:
        with pytest.raises((GenerationUnavailable, GenerationRefused)):
            await whole(order())
        return await asyncio.to_thread(server.wait_until_closed)

    assert run(failed()) < 0.5


def test_cancelling_before_the_first_word_leaves_no_connection(served: Served) -> None:
    server = served((HOLD,))

    async def cancelled() -> float:
        task = asyncio.create_task(whole(order()))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(server.wait_until_closed)

    assert run(cancelled()) < 0.5
