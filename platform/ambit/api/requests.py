"""Give every request an identifier of its own, never the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tenants.ids import uuid7

HEADER = "X-Request-Id"


class RequestIdMiddleware:
    """Sets request.request_id, which audit events and problems repeat, and answers it as X-Request-Id."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep what comes next, and be async where that is."""
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request."""
        request.request_id = uuid7()  # type: ignore[attr-defined]  # made here, read by request_id_of
        if self._is_async:
            return self._answer_async(request)
        return _marked(request, self.get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)  # type: ignore[misc]  # a coroutine function
        return _marked(request, response)


def request_id_of(request: HttpRequest) -> UUID:
    """Return the identifier the middleware gave, or a fresh one where it is not installed."""
    found = getattr(request, "request_id", None)
    return found if isinstance(found, UUID) else uuid7()


def _marked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers[HEADER] = str(request_id_of(request))
    return response
