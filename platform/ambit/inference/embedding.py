"""Ask the embedding service, ours or any that speaks OpenAI's /v1/embeddings, for vectors."""

from __future__ import annotations

import atexit
import base64
import binascii
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import httpx2
import numpy as np
from django.conf import settings

from ambit.inference.http import InvalidServerUrl, open_client
from ambit.inference.types import Priority, Vector

logger = logging.getLogger(__name__)

QUERY_DEADLINE_S = 5.0
PASSAGES_DEADLINE_S = 120.0
CONNECT_S = 2.0
# As many as text-embeddings-inference takes by default; ours is as fast with it as with more.
PASSAGES_PER_REQUEST = 32
MAX_ANSWER_BYTES = 64 * 1024 * 1024
BUSY_STATUSES = frozenset({408, 425, 429})

UnavailableReason = Literal["not_configured", "unreachable", "slow", "busy", "failed"]
RefusedReason = Literal[
    "credentials", "empty_text", "request", "answer", "count", "dimensions", "vector"
]


class EmbeddingUnavailable(Exception):
    """The service is down or slow; worth another try later."""

    def __init__(self, *, reason: UnavailableReason, status: int | None = None) -> None:
        super().__init__(f"embedding unavailable: {reason}")
        self.reason = reason
        self.status = status


class EmbeddingRefused(Exception):
    """The service refused the texts, or gave what cannot be stored; it would do so again."""

    def __init__(self, *, reason: RefusedReason, status: int | None = None) -> None:
        super().__init__(f"embedding refused: {reason}")
        self.reason = reason
        self.status = status


def embed_query(text: str) -> Vector:
    """Return a question's vector within five seconds, ahead of all bulk work.

    Raises EmbeddingUnavailable or EmbeddingRefused, whose words NEVER hold the text.
    """
    return _embed(texts=[text], priority="query", deadline_s=QUERY_DEADLINE_S)[0]


def embed_sentences(texts: Sequence[str]) -> list[Vector]:
    """Return the vectors of a few sentences for which a person waits; raises as embed_query."""
    return _in_requests(texts=texts, priority="query", deadline_s=QUERY_DEADLINE_S)


def embed_passages(
    texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
) -> list[Vector]:
    """Return the passages' vectors in order, telling on_progress how many are done so far.

    Raises EmbeddingUnavailable or EmbeddingRefused, and whatever on_progress raises.
    """
    return _in_requests(
        texts=texts, priority="bulk", deadline_s=PASSAGES_DEADLINE_S, on_progress=on_progress
    )


def _in_requests(
    *,
    texts: Sequence[str],
    priority: Priority,
    deadline_s: float,
    on_progress: Callable[[int], None] | None = None,
) -> list[Vector]:
    vectors: list[Vector] = []
    for start in range(0, len(texts), PASSAGES_PER_REQUEST):
        some = texts[start : start + PASSAGES_PER_REQUEST]
        vectors += _embed(texts=some, priority=priority, deadline_s=deadline_s)
        if on_progress is not None:
            on_progress(len(vectors))
    return vectors


def _embed(*, texts: Sequence[str], priority: Priority, deadline_s: float) -> list[Vector]:
    started = time.monotonic()
    extra: dict[str, object] = {"n_texts": len(texts), "priority": priority}
    try:
        answer = _post(texts=texts, priority=priority, deadline=started + deadline_s)
        vectors = _vectors(answer=answer, n_texts=len(texts))
    except EmbeddingUnavailable as error:
        extra.update(reason=error.reason, status=error.status)
        logger.warning("embedding.unavailable", extra=extra)
        raise
    except EmbeddingRefused as error:
        extra.update(reason=error.reason, status=error.status)
        logger.warning("embedding.refused", extra=extra)
        raise
    return vectors


def _post(*, texts: Sequence[str], priority: Priority, deadline: float) -> bytes:
    """Send the texts, a second time where the connection failed: embedding changes nothing."""
    if not all(text.strip() for text in texts):
        raise EmbeddingRefused(reason="empty_text")
    body = json.dumps(
        {"model": settings.AMBIT_EMBED_MODEL, "input": list(texts), "encoding_format": "base64"}
    ).encode()
    headers = {"Content-Type": "application/json", "Ambit-Priority": priority}
    if settings.AMBIT_EMBED_KEY:
        headers["Authorization"] = f"Bearer {settings.AMBIT_EMBED_KEY}"
    client = _client()
    for last_try in (False, True):
        try:
            return _exchange(client=client, body=body, headers=headers, deadline=deadline)
        except (httpx2.TimeoutException, _PastDeadline):
            # The HTTP library's errors are dropped, not chained: they hold the request.
            raise EmbeddingUnavailable(reason="slow") from None
        except (httpx2.TransportError, httpx2.DecodingError):
            if last_try or time.monotonic() > deadline:
                raise EmbeddingUnavailable(reason="unreachable") from None
    raise AssertionError("the second try returns or raises")


class _PastDeadline(Exception):
    pass


def _exchange(
    *, client: httpx2.Client, body: bytes, headers: dict[str, str], deadline: float
) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _PastDeadline
    timeout = httpx2.Timeout(left, connect=min(left, CONNECT_S))
    with client.stream(
        "POST", "/v1/embeddings", content=body, headers=headers, timeout=timeout
    ) as response:
        if response.status_code != httpx2.codes.OK:
            raise _failure(response.status_code)
        answer = bytearray()
        for some in response.iter_bytes():
            answer += some
            if len(answer) > MAX_ANSWER_BYTES:
                raise EmbeddingRefused(reason="answer", status=response.status_code)
            if time.monotonic() > deadline:
                raise _PastDeadline
        return bytes(answer)


def _failure(status: int) -> EmbeddingUnavailable | EmbeddingRefused:
    """Name the reason; the server's words go no further, because they may quote the text."""
    if status in {401, 403}:
        return EmbeddingRefused(reason="credentials", status=status)
    if status == 503 or status in BUSY_STATUSES:
        return EmbeddingUnavailable(reason="busy", status=status)
    if 400 <= status < 500:
        return EmbeddingRefused(reason="request", status=status)
    return EmbeddingUnavailable(reason="failed", status=status)


def _vectors(*, answer: bytes, n_texts: int) -> list[Vector]:
    try:
        rows = {int(row["index"]): row["embedding"] for row in json.loads(answer)["data"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise EmbeddingRefused(reason="answer") from None
    if sorted(rows) != list(range(n_texts)):
        raise EmbeddingRefused(reason="count")
    return [_vector(rows[index]) for index in range(n_texts)]


def _vector(given: Any) -> Vector:
    """Read a list of numbers or base64 of little-endian float32, and give it the length one."""
    try:
        if isinstance(given, str):
            vector = np.frombuffer(base64.b64decode(given, validate=True), dtype="<f4")
        else:
            vector = np.array(given, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error):
        raise EmbeddingRefused(reason="answer") from None
    if vector.shape != (settings.AMBIT_EMBED_DIMENSIONS,):
        raise EmbeddingRefused(reason="dimensions")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length < 1e-6:
        raise EmbeddingRefused(reason="vector")
    return (vector / length).astype(np.float32)


# By process: a connection shared with a forked child would mix up two conversations.
_CLIENTS: dict[tuple[int, str], httpx2.Client] = {}


def _client() -> httpx2.Client:
    place = (os.getpid(), settings.AMBIT_EMBED_URL)
    client = _CLIENTS.get(place)
    if client is not None:
        return client
    try:
        opened = open_client(url=settings.AMBIT_EMBED_URL)
    except (InvalidServerUrl, httpx2.InvalidURL, ValueError):
        raise EmbeddingUnavailable(reason="not_configured") from None
    # No lock: it could be held by another thread at the moment of a fork.
    client = _CLIENTS.setdefault(place, opened)
    if client is not opened:
        opened.close()
    return client


def close_clients() -> None:
    """Close this process's connections; the next call opens new ones."""
    for place in [place for place in _CLIENTS if place[0] == os.getpid()]:
        _CLIENTS.pop(place).close()


atexit.register(close_clients)
