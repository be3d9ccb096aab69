"""What goes over the wire to vLLM and back; the contract is in deploy/vllm/README.md."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2

from ambit.inference.generation import (
    ContextOverflow,
    GenerationRefused,
    GenerationUnavailable,
    Order,
    SchemaNotServed,
)

TEMPERATURE = 0.1
SEED = 7
MAX_ERROR_BYTES = 65_536

# What vLLM says of a prompt that is too long, and of a schema that it cannot write to.
_TOO_LONG = ("maximum context length", "max_model_len")
_NO_SCHEMA = ("into a grammar", "features not supported by xgrammar")

_ADAPTER = re.compile(r"[a-z0-9-]{1,64}")


class InvalidAdapterName(ValueError):
    """The name is none that our database gives; nothing was sent. vLLM may take it for a path."""


class NotYetAnswered(Exception):
    """No byte of an answer came; asking once more is safe."""

    def __init__(self, *, unavailable: GenerationUnavailable) -> None:
        super().__init__()
        self.unavailable = unavailable


def check_adapter(name: str) -> None:
    """Raise InvalidAdapterName unless it is 1 to 64 of a to z, 0 to 9 and hyphen."""
    if not _ADAPTER.fullmatch(name):
        raise InvalidAdapterName("an adapter's name is 1 to 64 of a to z, 0 to 9 and hyphen")


def request_body(*, order: Order, model: str) -> bytes:
    """Return the JSON that is posted; the model's name is the settings' or our database's, never a request's."""
    body: dict[str, Any] = {
        "model": order.adapter or model,
        "messages": [{"role": m["role"], "content": m["content"]} for m in order.messages],
        "cache_salt": order.cache_salt,
        "priority": order.priority,
        "max_completion_tokens": order.max_tokens,
        "temperature": TEMPERATURE,
        "seed": SEED,
        # Streamed also where it is returned whole: only then does a closed connection stop the
        # generation at once, and only then is it known meanwhile what was spent.
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    if order.schema is not None:
        wanted = {"name": "answer", "schema": order.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    # Half of a surrogate pair, which is no text, goes as a question mark.
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def request_headers(key: str) -> dict[str, str]:
    """Return the headers of a new request."""
    # vLLM makes this header its engine's request id: always ours and new, never a caller's, which
    # could name another's.
    headers = {"Content-Type": "application/json", "X-Request-Id": uuid4().hex}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


async def failure(response: httpx2.Response) -> Exception:
    """Name what a status other than 200 means; the server's words go no further."""
    status = response.status_code
    if status == httpx2.codes.SERVICE_UNAVAILABLE:
        return NotYetAnswered(unavailable=GenerationUnavailable(reason="busy", status=status))
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return GenerationUnavailable(reason="busy", status=status)
    if status in {httpx2.codes.BAD_GATEWAY, httpx2.codes.GATEWAY_TIMEOUT}:
        # Of the proxy, which found nobody behind it.
        gone = GenerationUnavailable(reason="unreachable", status=status)
        return NotYetAnswered(unavailable=gone)
    if not 400 <= status < 500:
        return GenerationUnavailable(reason="failed", status=status)
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MAX_ERROR_BYTES:
            break
    return _refusal(status=status, words=content.decode(errors="replace"))


def failure_in_stream(error: object, *, begun: bool) -> Exception:
    """Name what an error event means; `begun`: some of the text has come before."""
    # A full queue, too, may be told here: in a burst the status line was 200 by then.
    status = error.get("code") if isinstance(error, dict) else None
    if not isinstance(status, int):
        return GenerationUnavailable(reason="failed")
    if status == httpx2.codes.SERVICE_UNAVAILABLE and not begun:
        return NotYetAnswered(unavailable=GenerationUnavailable(reason="busy", status=status))
    if 400 <= status < 500:
        return _refusal(status=status, words=json.dumps(error))
    return GenerationUnavailable(reason="failed", status=status)


def _refusal(*, status: int, words: str) -> GenerationRefused:
    """Name the reason; the server's words go no further, because they may quote the prompt."""
    if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
        return GenerationRefused(reason="credentials", status=status)
    if any(said in words for said in _TOO_LONG):
        return ContextOverflow(status=status)
    if status == httpx2.codes.NOT_FOUND and "does not exist" in words:
        return GenerationRefused(reason="model", status=status)
    if any(said in words for said in _NO_SCHEMA):
        return SchemaNotServed(status=status)
    return GenerationRefused(reason="request", status=status)


async def events(response: httpx2.Response) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the events before [DONE], and read on to the end: only then can the connection be kept.

    Raises GenerationUnavailable and what the HTTP library raises.
    """
    done = False
    # Not aiter_lines: it also splits at U+2028 and its like, which a model may write inside a JSON
    # string.
    async for event in httpx2.EventSource(_checked(response)):
        done = done or event.data == "[DONE]"
        if not done:
            yield _event_fields(event.data)
    if not done:
        raise GenerationUnavailable(reason="cut_short")


def _event_fields(data: str) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise GenerationUnavailable(reason="failed") from None
    if not isinstance(fields, dict):
        raise GenerationUnavailable(reason="failed")
    return fields


def _checked(response: httpx2.Response) -> httpx2.Response:
    """Return the response as one that refuses what is no UTF-8, where the library would write U+FFFD."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    return httpx2.Response(
        response.status_code,
        headers={"content-type": kind},
        stream=_CheckedBytes(response),
        request=response.request,
    )


class _CheckedBytes(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            async for some in self._response.aiter_bytes():
                decoder.decode(some)
                yield some
        except UnicodeDecodeError:
            # Dropped, not chained: it holds the bytes.
            raise GenerationUnavailable(reason="garbled") from None
