"""Ask the vLLM server for one completion; the contract is in deploy/vllm/README.md."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import httpx2
from django.conf import settings

from ambit.inference.messages import Message

logger = logging.getLogger(__name__)

SALT_DOMAIN = b"ambit.cache_salt.v1"
TEMPERATURE = 0.1
SEED = 7
# vLLM has no time limit of its own, and a queued request may rightly stay silent for long: reading
# is bounded by the caller's deadline alone.
TIMEOUT = httpx2.Timeout(connect=2, write=10, pool=2, read=None)
# Below the five seconds after which vLLM closes an idle connection, so that a request rarely meets
# a closed one.
LIMITS = httpx2.Limits(max_connections=256, max_keepalive_connections=32, keepalive_expiry=3)
RETRY_AFTER_S = (0.1, 0.5)
MAX_ERROR_BYTES = 65_536

_SALT = re.compile(r"[0-9a-f]{64}")

UnavailableReason = Literal["not_configured", "unreachable", "busy", "failed", "cut_short"]
RefusedReason = Literal["credentials", "context_overflow", "request"]


class InvalidCacheSalt(ValueError):
    """The salt is not one that salt_for makes; nothing was sent."""


class GenerationUnavailable(Exception):
    """No model server gave an answer; worth another try later, except where none is configured."""

    def __init__(self, *, reason: UnavailableReason, status: int | None = None) -> None:
        super().__init__(f"generation unavailable: {reason}")
        self.reason = reason
        self.status = status


class GenerationTimedOut(Exception):
    """The answer was not complete within the caller's deadline; the server was told to stop."""

    def __init__(self, *, deadline_s: float) -> None:
        super().__init__(f"generation not complete within {deadline_s:g} s")
        self.deadline_s = deadline_s


class GenerationRefused(Exception):
    """The server refused this request and will refuse it again."""

    def __init__(self, *, reason: RefusedReason, status: int) -> None:
        super().__init__(f"generation refused: {reason} ({status})")
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text with the server's own token counts."""

    text: str = field(repr=False)
    prompt_tokens: int
    completion_tokens: int
    # Prompt tokens taken from the prefix cache of the same salt.
    cached_tokens: int
    # "stop", or "length" where max_tokens cut the text.
    finish_reason: str


@dataclass(frozen=True, slots=True)
class _Server:
    url: httpx2.URL
    key: str = field(repr=False)
    model: str


class _NotYetAnswered(Exception):
    """No byte of an answer came; asking once more is safe."""

    def __init__(self, *, unavailable: GenerationUnavailable) -> None:
        super().__init__()
        self.unavailable = unavailable


def salt_for(*, tenant_id: UUID, epoch: int, secret: bytes) -> str:
    """Return the tenant's secret, hexadecimal cache salt for an epoch."""
    if len(secret) < 16:
        raise InvalidCacheSalt("the secret of the cache salts needs at least 16 bytes")
    if epoch < 0:
        raise InvalidCacheSalt("the epoch of a cache salt is not negative")
    message = b"\0".join((SALT_DOMAIN, tenant_id.bytes, str(epoch).encode()))
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


async def chat(
    *, messages: Sequence[Message], cache_salt: str, deadline_s: float, max_tokens: int = 512
) -> Completion:
    """Return the model's whole answer.

    Cancelling it, or passing the deadline, closes the connection, which makes vLLM stop generating.
    Raises GenerationUnavailable, GenerationTimedOut, GenerationRefused or InvalidCacheSalt, whose
    words NEVER hold a prompt, an answer or a key.
    """
    if not _SALT.fullmatch(cache_salt):
        raise InvalidCacheSalt("a cache salt is 64 lower-case hexadecimal digits; nothing was sent")
    server = _configured_server()
    body = _request_body(
        messages=messages, model=server.model, cache_salt=cache_salt, max_tokens=max_tokens
    )
    started = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s) as deadline:
            completion = await _ask_at_most_twice(server=server, body=body)
    except TimeoutError:
        if not deadline.expired():
            raise
        logger.warning("generation.timed_out", extra={"deadline_s": deadline_s})
        raise GenerationTimedOut(deadline_s=deadline_s) from None
    except GenerationUnavailable as error:
        logger.warning(
            "generation.unavailable", extra={"reason": error.reason, "status": error.status}
        )
        raise
    except GenerationRefused as error:
        logger.warning("generation.refused", extra={"reason": error.reason, "status": error.status})
        raise
    logger.info(
        "generation.completed",
        extra={
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "cached_tokens": completion.cached_tokens,
            "finish_reason": completion.finish_reason,
            "milliseconds": round(1000 * (time.monotonic() - started)),
        },
    )
    return completion


def _configured_server() -> _Server:
    """Read where to ask; the model's name comes from here alone, never from a request."""
    base = settings.AMBIT_VLLM_URL.rstrip("/").removesuffix("/v1")
    key = settings.AMBIT_VLLM_KEY
    model = settings.AMBIT_VLLM_MODEL
    try:
        url = httpx2.URL(f"{base}/v1/chat/completions")
    except httpx2.InvalidURL:
        raise GenerationUnavailable(reason="not_configured") from None
    # A key that is no header value would be quoted in the HTTP library's error.
    usable_key = key.isascii() and key.isprintable()
    if url.scheme not in {"http", "https"} or not url.host or not model or not usable_key:
        raise GenerationUnavailable(reason="not_configured")
    return _Server(url=url, key=key, model=model)


def _request_body(
    *, messages: Sequence[Message], model: str, cache_salt: str, max_tokens: int
) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": m["role"], "content": m["content"]} for m in messages],
        "cache_salt": cache_salt,
        "priority": 0,
        "max_completion_tokens": max_tokens,
        "temperature": TEMPERATURE,
        "seed": SEED,
        # Streamed though it is returned whole: only then does a closed connection stop the
        # generation at once.
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _ask_at_most_twice(*, server: _Server, body: dict[str, Any]) -> Completion:
    try:
        return await _ask(server=server, body=body)
    except _NotYetAnswered as first:
        told = first.unavailable
        await asyncio.sleep(random.uniform(*RETRY_AFTER_S))  # noqa: S311 -- jitter, no secret
    try:
        return await _ask(server=server, body=body)
    except _NotYetAnswered as again:
        # A server that said it is busy, and then drops the connection, is busy.
        if told.status is None:
            told = again.unavailable
        raise told from None


async def _ask(*, server: _Server, body: dict[str, Any]) -> Completion:
    client = await _client()
    answered = False
    try:
        async with client.stream(
            "POST", server.url, json=body, headers=_headers(server.key)
        ) as response:
            answered = True
            if response.status_code != httpx2.codes.OK:
                raise await _failure(response)
            return await _collect(response)
    except (httpx2.TransportError, httpx2.DecodingError):
        # The error is dropped, not chained: it holds the request, and so the prompt.
        if answered:
            raise GenerationUnavailable(reason="cut_short") from None
        raise _NotYetAnswered(unavailable=GenerationUnavailable(reason="unreachable")) from None


def _headers(key: str) -> dict[str, str]:
    # vLLM makes this header its engine's request id: always ours and new, never a caller's, which
    # could name another's.
    headers = {"X-Request-Id": uuid4().hex}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


async def _failure(response: httpx2.Response) -> Exception:
    status = response.status_code
    if status == httpx2.codes.SERVICE_UNAVAILABLE:
        return _NotYetAnswered(unavailable=GenerationUnavailable(reason="busy", status=status))
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return GenerationUnavailable(reason="busy", status=status)
    if not 400 <= status < 500:
        return GenerationUnavailable(reason="failed", status=status)
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MAX_ERROR_BYTES:
            break
    return _refusal(status=status, words=content.decode(errors="replace"))


def _refusal(*, status: int, words: str) -> GenerationRefused:
    """Name the reason; the server's words go no further, because they may quote the prompt."""
    if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
        return GenerationRefused(reason="credentials", status=status)
    if "maximum context length" in words or "max_model_len" in words:
        return GenerationRefused(reason="context_overflow", status=status)
    return GenerationRefused(reason="request", status=status)


async def _collect(response: httpx2.Response) -> Completion:
    pieces: list[str] = []
    finish_reason = ""
    usage: dict[str, Any] = {}
    async for event in _events(response):
        if error := event.get("error"):
            raise _failure_in_stream(error, begun=any(pieces))
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            pieces.append((choice.get("delta") or {}).get("content") or "")
            finish_reason = choice.get("finish_reason") or finish_reason
    if finish_reason not in {"stop", "length"}:
        raise GenerationUnavailable(reason="cut_short")
    details = usage.get("prompt_tokens_details") or {}
    return Completion(
        text="".join(pieces),
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=details.get("cached_tokens") or 0,
        finish_reason=finish_reason,
    )


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the events before [DONE], and read on to the end: only then can the connection be kept."""
    done = False
    # Not aiter_lines: it also splits at U+2028 and its like, which a model may write inside a JSON
    # string.
    async for event in httpx2.EventSource(response):
        done = done or event.data == "[DONE]"
        if not done:
            yield _event_fields(event.data)
    if not done:
        raise GenerationUnavailable(reason="cut_short")


def _event_fields(data: str) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except ValueError:
        raise GenerationUnavailable(reason="failed") from None
    if not isinstance(fields, dict):
        raise GenerationUnavailable(reason="failed")
    return fields


def _failure_in_stream(error: object, *, begun: bool) -> Exception:
    # A full queue, too, may be told here: in a burst the status line was 200 by then.
    status = error.get("code") if isinstance(error, dict) else None
    if not isinstance(status, int):
        return GenerationUnavailable(reason="failed")
    if status == httpx2.codes.SERVICE_UNAVAILABLE and not begun:
        return _NotYetAnswered(unavailable=GenerationUnavailable(reason="busy", status=status))
    if 400 <= status < 500:
        return _refusal(status=status, words=json.dumps(error))
    return GenerationUnavailable(reason="failed", status=status)


_CLIENTS: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[httpx2.AsyncClient, None]]
_CLIENTS = WeakKeyDictionary()


async def _client() -> httpx2.AsyncClient:
    """Return the running loop's client, which keeps connections open between requests."""
    loop = asyncio.get_running_loop()
    keeper = _CLIENTS.get(loop)
    if keeper is None:
        keeper = _CLIENTS[loop] = _kept_client()
    return await anext(keeper)


async def _kept_client() -> AsyncGenerator[httpx2.AsyncClient, None]:
    """Yield one client again and again, and close it with its loop.

    An event loop finishes its asynchronous generators as it ends (asyncio.run, uvicorn and asgiref
    all see to it), and has no other hook for closing what belongs to it.
    """
    # Not from the environment: a proxy named there would read every prompt.
    client = httpx2.AsyncClient(
        timeout=TIMEOUT, limits=LIMITS, trust_env=False, verify=ssl.create_default_context()
    )
    try:
        while True:
            yield client
    finally:
        await client.aclose()
