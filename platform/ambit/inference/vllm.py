"""Ask a vLLM server for completions; the contract is in deploy/vllm/README.md."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import httpx2
from django.conf import settings

from ambit.inference import wire
from ambit.inference.connections import loop_client
from ambit.inference.generation import (
    Completion,
    ContextOverflow,
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    Order,
    SchemaNotServed,
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
from ambit.inference.stream import Asked, Generation

__all__ = [
    "Completion",
    "ContextOverflow",
    "Generation",
    "GenerationRefused",
    "GenerationTimedOut",
    "GenerationUnavailable",
    "InvalidCacheSalt",
    "Order",
    "SchemaNotServed",
    "TokenUsage",
    "chat",
    "generating",
    "salt_for",
]

logger = logging.getLogger(__name__)

# Before asking the same replica again; another is asked at once.
RETRY_AFTER_S = (0.1, 0.5)
# vLLM sends the status line when it has queued a request; a server that takes longer hangs.
STATUS_LINE_S = 15.0
# An asker who reads nothing for so long after the deadline keeps no connection.
LATE_S = 1.0
# What says that the replica, not the request, is at fault.
_REPLICA_FAULTS = frozenset({"unreachable", "slow", "failed", "garbled", "cut_short"})


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
    log = _Log(started=time.monotonic())
    try:
        async with _begun(order=order, deadline_s=deadline_s) as generation:
            log.generation = generation
            yield generation
    except GenerationUnavailable as error:
        logger.warning("generation.unavailable", extra=log.figures() | _told(error))
        raise
    except GenerationRefused as error:
        logger.warning("generation.refused", extra=log.figures() | _told(error))
        raise
    except GenerationTimedOut:
        logger.warning("generation.timed_out", extra=log.figures() | {"deadline_s": deadline_s})
        raise
    except BaseException:
        logger.info("generation.ended_early", extra=log.figures())
        raise
    if generation.finish_reason:
        logger.info("generation.completed", extra=log.figures())
    else:
        logger.info("generation.ended_early", extra=log.figures())


@dataclass(slots=True)
class _Log:
    started: float
    generation: Generation | None = None

    def figures(self) -> dict[str, object]:
        milliseconds = round(1000 * (time.monotonic() - self.started))
        if self.generation is None:
            return {"milliseconds": milliseconds}
        finish_reason = self.generation.finish_reason
        counted = asdict(self.generation.usage)
        return {**counted, "finish_reason": finish_reason, "milliseconds": milliseconds}


def _told(error: GenerationUnavailable | GenerationRefused) -> dict[str, object]:
    return {"reason": error.reason, "status": error.status}


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
    asked = Asked(order=order, deadline_s=deadline_s, deadline=loop.time() + deadline_s)
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


async def _begin_at_most_twice(asked: Asked) -> tuple[Replica, Generation]:
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


async def _begin(*, replica: Replica, asked: Asked, body: bytes) -> Generation:
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


async def _send(*, replica: Replica, asked: Asked, body: bytes) -> httpx2.Response:
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
