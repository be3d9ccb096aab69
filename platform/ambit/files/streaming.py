"""Answer with content that is read while it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse


def streamed(
    request: HttpRequest, content: Iterator[bytes], *, headers: dict[str, str]
) -> StreamingHttpResponse:
    """Return a response whose pieces are read one by one, off the event loop where there is one."""
    body = _asynchronously(content) if isinstance(request, ASGIRequest) else content
    return StreamingHttpResponse(body, headers=headers)


async def _asynchronously(content: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await sync_to_async(_piece)(content)) is not None:
        yield piece


def _piece(content: Iterator[bytes]) -> bytes | None:
    """Return the next piece, or None at the end, and hold no connection while it is sent.

    A client may take as long as it likes to read; the pool's connections are everybody's.
    """
    try:
        return next(content, None)
    finally:
        if not connection.in_atomic_block:
            connection.close()
