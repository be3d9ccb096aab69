"""Ask a vLLM server for completions; the contract is in deploy/vllm/README.md."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import httpx2
from django.conf import settings

from ambit.inference import wire
from ambit.inference.connections import loop_client
from ambit.inference.generation import (
    Completion,
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    Order,
    TokenUsage,
    UnavailableReason,
)
from ambit.inference.messages import Message
from ambit.inference.replicas import (
    Replica,
    ServersNotConfigured,
    admit,
    in_order_for,
    note_answering,
    note_failure,
    note_nothing,
)
from ambit.inference.salts import InvalidCacheSalt, check_salt, salt_for
from ambit.inference.tokens import count_tokens

__all__ = [
    "Completion",
    "Generation",
    "GenerationRefused",
    "GenerationTimedOut",
    "GenerationUnavailable",
    "InvalidCacheSalt",
    "Order",
    "TokenUsage",
    "chat",
    "generating",
    "salt_for",
]

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

# Before asking the same replica again; another is asked at once.
RETRY_AFTER_S = (0.1, 0.5)
# vLLM sends the status line when it has queued a request; a server that takes longer hangs.
STATUS_LINE_S = 15.0
# An asker who reads nothing for so long after the deadline keeps no connection.
LATE_S = 1.0
# More spaces and line breaks in a row than any JSON has: a model in a rut, until its last token.
WHITESPACE_MAX = 256
# What says that the replica, not the request, is at fault.
_REPLICA_FAULTS = frozenset({"unreachable", "slow", "failed", "garbled", "cut_short"})


@dataclass(frozen=True, slots=True)
class _Asked:
    order: Order
    deadline_s: float
    # By the loop's clock.
    deadline: float


class Generation:
    """A completion under way: iterate over it for the pieces of its text as they come.

    Iterating raises GenerationUnavailable, GenerationTimedOut or GenerationRefused.
    """

    def __init__(self, response: httpx2.Response, *, asked: _Asked) -> None:
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


@asynccontextmanager
async def generating(order: Order, *, deadline_s: float) -> AsyncIterator[Generation]:
    """Begin a completion and yield it; leaving the block, by whatever way, makes the server stop.

    Where nothing has come yet a full queue or a lost connection is tried once more, on another
    replica where there is one. The deadline counts from here to the end of the text. Entering and
    iterating raise GenerationUnavailable, GenerationTimedOut, GenerationRefused, and entering
    InvalidCacheSalt and InvalidAdapterName, whose words NEVER hold a prompt, an answer or a key.
    """
    check_salt(order.cache_salt)
    if order.adapter is not None:
        wire.check_adapter(order.adapter)
    started = time.monotonic()
    generation: Generation | None = None
    outcome, extra = "generation.ended_early", dict[str, object]()
    try:
        async with _begun(order=order, deadline_s=deadline_s) as generation:
            yield generation
        if generation.finish_reason:
            outcome = "generation.completed"
    except (GenerationUnavailable, GenerationRefused) as error:
        refused = isinstance(error, GenerationRefused)
        outcome = "generation.refused" if refused else "generation.unavailable"
        extra = {"reason": error.reason, "status": error.status}
        raise
    except GenerationTimedOut:
        outcome, extra = "generation.timed_out", {"deadline_s": deadline_s}
        raise
    finally:
        if generation is not None:
            extra |= asdict(generation.usage) | {"finish_reason": generation.finish_reason}
        extra["milliseconds"] = round(1000 * (time.monotonic() - started))
        failed = outcome not in {"generation.completed", "generation.ended_early"}
        logger.log(logging.WARNING if failed else logging.INFO, outcome, extra=extra)


async def chat(
    *, messages: Sequence[Message], cache_salt: str, deadline_s: float, max_tokens: int = 512
) -> Completion:
    """Return the model's whole answer; raises as generating, and cancelling it stops the server."""
    order = Order(messages=messages, cache_salt=cache_salt, max_tokens=max_tokens)
    async with generating(order, deadline_s=deadline_s) as generation:
        text = "".join([piece async for piece in generation])
    usage = generation.usage
    return Completion(
        text=text,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        finish_reason=generation.finish_reason,
    )


@asynccontextmanager
async def _begun(*, order: Order, deadline_s: float) -> AsyncIterator[Generation]:
    loop = asyncio.get_running_loop()
    asked = _Asked(order=order, deadline_s=deadline_s, deadline=loop.time() + deadline_s)
    replica, generation = await _begin_at_most_twice(asked)
    closing: list[asyncio.Future[None]] = []
    late = loop.call_at(
        asked.deadline + LATE_S, lambda: closing.append(asyncio.ensure_future(generation.close()))
    )
    try:
        yield generation
        if generation.finish_reason:
            note_answering(replica, whole=True)
    except GenerationUnavailable as error:
        _learn(replica, error)
        raise
    finally:
        late.cancel()
        await generation.close()


async def _begin_at_most_twice(asked: _Asked) -> tuple[Replica, Generation]:
    ranked = _replicas_for(asked.order)
    body = wire.request_body(order=asked.order, model=settings.AMBIT_VLLM_MODEL)
    told: GenerationUnavailable | None = None
    tried: list[Replica] = []
    while len(tried) < 2:
        replica = next((r for r in ranked if r not in tried and admit(r)), None)
        if replica is None and tried:
            # Nobody else is there to be asked: the same once more.
            await asyncio.sleep(random.uniform(*RETRY_AFTER_S))  # noqa: S311 -- jitter, no secret
            replica = tried[0] if admit(tried[0]) else None
        if replica is None:
            break
        tried.append(replica)
        try:
            return replica, await _begin(replica=replica, asked=asked, body=body)
        except wire.NotYetAnswered as not_yet:
            # A server that said it is busy, and then drops the connection, is busy.
            if told is None or told.reason != "busy":
                told = not_yet.unavailable
    raise told or GenerationUnavailable(reason="unreachable")


def _replicas_for(order: Order) -> list[Replica]:
    try:
        ranked = in_order_for(order.cache_salt)
    except ServersNotConfigured:
        raise GenerationUnavailable(reason="not_configured") from None
    if not settings.AMBIT_VLLM_MODEL:
        raise GenerationUnavailable(reason="not_configured")
    return ranked


async def _begin(*, replica: Replica, asked: _Asked, body: bytes) -> Generation:
    """Send the request and wait for the first event; tell the replica's circuit what came of it."""
    try:
        generation = Generation(await _send(replica=replica, asked=asked, body=body), asked=asked)
        try:
            await generation.begin()
        except BaseException:
            await generation.close()
            raise
    except wire.NotYetAnswered as not_yet:
        _learn(replica, not_yet.unavailable)
        raise
    except GenerationUnavailable as error:
        _learn(replica, error)
        raise
    except GenerationRefused:
        note_answering(replica, whole=True)
        raise
    except BaseException:
        note_nothing(replica)
        raise
    note_answering(replica, whole=False)
    return generation


async def _send(*, replica: Replica, asked: _Asked, body: bytes) -> httpx2.Response:
    """Return the response when its status line came."""
    client = await loop_client()
    request = client.build_request(
        "POST",
        replica.address("/v1/chat/completions"),
        content=body,
        headers=wire.request_headers(replica.key),
    )
    until = min(asked.deadline, asyncio.get_running_loop().time() + STATUS_LINE_S)
    try:
        async with asyncio.timeout_at(until) as limit:
            return await client.send(request, stream=True)
    except TimeoutError:
        if not limit.expired():
            raise
        if until == asked.deadline:
            raise GenerationTimedOut(deadline_s=asked.deadline_s) from None
        reason: UnavailableReason = "slow"
    except httpx2.PoolTimeout:
        # The replica was not asked: it is we who have too many requests under way.
        reason = "busy"
    except (httpx2.TransportError, httpx2.DecodingError):
        # The error is dropped, not chained: it holds the request, and so the prompt.
        reason = "unreachable"
    raise wire.NotYetAnswered(unavailable=GenerationUnavailable(reason=reason))


def _learn(replica: Replica, error: GenerationUnavailable) -> None:
    if error.reason not in _REPLICA_FAULTS:
        note_nothing(replica)
    elif note_failure(replica):
        logger.warning("generation.circuit_opened", extra={"replica": replica.label})
