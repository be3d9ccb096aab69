"""Answer with content that is read while it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from itertools import chain

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse


@contextmanager
def begun(content: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Read the first piece now, so that content that cannot be opened is a problem and not a broken stream.

    Where the block fails, as when the event of the reading cannot be written, its file is closed at once.
    """
    try:
        yield chain([next(content, b"")], content)
    except BaseException:
        if isinstance(content, Generator):
            content.close()
        raise


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
