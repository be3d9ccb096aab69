"""Read a completion as it comes: text, what is spent, and why it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from ambit.inference import wire
from ambit.inference.generation import GenerationTimedOut, GenerationUnavailable, Order, TokenUsage
from ambit.inference.tokens import count_tokens

Value = TypeVar("Value")

# More spaces and line breaks in a row than any JSON has: a model in a rut, until its last token.
WHITESPACE_MAX = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """An order with the time it has."""

    order: Order
    deadline_s: float
    # By the loop's clock.
    deadline: float


class Generation:
    """A completion under way: iterate over it for the pieces of its text as they come.

    Iterating raises GenerationUnavailable, GenerationTimedOut or GenerationRefused.
    """

    def __init__(self, response: httpx2.Response, *, asked: Asked) -> None:
        # "" until the end; then "stop", or "length" where max_tokens cut the text.
        self.finish_reason = ""
        self._response = response
        self._asked = asked
        self._events = wire.events(response)
        # What begin() read already.
        self._held = ""
        self._counted: TokenUsage | None = None
        self._pieces: list[str] = []
        self._n_blank = 0

    @property
    def usage(self) -> TokenUsage:
        """What is spent so far, by the server's count; estimated where it has told none yet."""
        if self._counted is not None:
            return self._counted
        return TokenUsage(
            prompt_tokens=sum(count_tokens(m["content"]) for m in self._asked.order.messages),
            completion_tokens=count_tokens("".join(self._pieces)) if self._pieces else 0,
        )

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if held := self._held:
            self._held = ""
            return held
        while (event := await self._next_event()) is not None:
            if piece := self._read(event):
                return piece
        if self.finish_reason not in {"stop", "length"}:
            raise GenerationUnavailable(reason="cut_short")
        raise StopAsyncIteration

    async def begin(self) -> None:
        """Wait for the first event; raises wire.NotYetAnswered where another try is safe."""
        if self._response.status_code != httpx2.codes.OK:
            raise await self._in_time(wire.failure(self._response))
        event = await self._next_event()
        if event is None:
            raise GenerationUnavailable(reason="cut_short")
        self._held = self._read(event)

    async def close(self) -> None:
        """Close the connection, which makes the server stop; one that was read to its end is kept."""
        await self._response.aclose()
        # A task that still reads is woken by that, and ends it itself.
        with suppress(RuntimeError):
            await self._events.aclose()

    async def _next_event(self) -> dict[str, Any] | None:
        if asyncio.get_running_loop().time() > self._asked.deadline:
            # A read that need not wait would not notice.
            raise GenerationTimedOut(deadline_s=self._asked.deadline_s)
        event = await self._in_time(self._read_event())
        if event is not None and (error := event.get("error")):
            raise wire.failure_in_stream(error, begun=bool(self._pieces))
        return event

    async def _read_event(self) -> dict[str, Any] | None:
        async for event in self._events:
            return event
        return None

    async def _in_time(self, read: Awaitable[Value]) -> Value:
        try:
            async with asyncio.timeout_at(self._asked.deadline) as limit:
                return await read
        except TimeoutError:
            if not limit.expired():
                raise
            raise GenerationTimedOut(deadline_s=self._asked.deadline_s) from None
        except httpx2.SSEError:
            # The errors are dropped, not chained: they hold the request, and so the prompt.
            raise GenerationUnavailable(reason="failed") from None
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.StreamError):
            raise GenerationUnavailable(reason="cut_short") from None

    def _read(self, event: dict[str, Any]) -> str:
        try:
            piece = self._understood(event)
        except (AttributeError, TypeError, ValueError):
            raise GenerationUnavailable(reason="failed") from None
        if piece:
            self._pieces.append(piece)
            self._check_whitespace(piece)
        return piece

    def _understood(self, event: dict[str, Any]) -> str:
        choices = event.get("choices") or ()
        if usage := event.get("usage"):
            details = usage.get("prompt_tokens_details") or {}
            self._counted = TokenUsage(
                prompt_tokens=int(usage.get("prompt_tokens") or 0),
                completion_tokens=int(usage.get("completion_tokens") or 0),
                cached_tokens=int(details.get("cached_tokens") or 0),
                # The last count comes alone, when the text is whole.
                exact=not choices,
            )
        text = ""
        for choice in choices:
            text += (choice.get("delta") or {}).get("content") or ""
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return text

    def _check_whitespace(self, piece: str) -> None:
        if self._asked.order.schema is None:
            return
        ending = len(piece) - len(piece.rstrip())
        self._n_blank = self._n_blank + ending if ending == len(piece) else ending
        if self._n_blank > WHITESPACE_MAX:
            raise GenerationUnavailable(reason="whitespace")
