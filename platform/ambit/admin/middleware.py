"""Give every request to the admin web UI its tenant's scope, its actor and its headers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse

from ambit.admin.frame import site_context
from ambit.admin.seats import Seat, seat_of
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)
PREFIX = "/admin/"
# 'unsafe-eval' and inline styles are what unfold's Alpine.js needs; inline scripts are refused.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class Face:
    """How a refusal looks."""

    title: str
    icon: str
    headline: str
    words: str


FACES = {
    403: Face(
        "Form too old",
        "history_toggle_off",
        "This form is too old",
        "It was open for long, or in another window you signed in again. Nothing was changed. "
        "Go back, load the page again and repeat what you did.",
    ),
    404: Face(
        "Page not found",
        "search_off",
        "There is nothing here for you",
        "The address may be mistyped, or it leads to something that is gone, is another tenant’s, "
        "or is not for your role.",
    ),
}
UNREADABLE = Face(
    "Unreadable",
    "block",
    "That cannot be read",
    "A field holds a character that no text may hold. Nothing was changed.",
)
FAULT = Face(
    "Something went wrong",
    "heart_broken",
    "Something went wrong on our side",
    "Nothing was changed. Try again in a moment; if it stays like this, give the number below to "
    "whoever runs Ambit.",
)


class AdminScopeMiddleware:
    """Wraps a request of a tenant's account in one transaction that sees that tenant alone.

    Stands after AuthenticationMiddleware and MessageMiddleware. An operator gets no tenant's scope:
    tenant tables raise for it. A refusal (4xx, 5xx) rolls back whatever was half done.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep what comes next."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        try:
            response = self._answer(request)
        except OperationalError:
            # Not even the account could be read.
            logger.error("admin.database_down")  # noqa: TRY400 - the driver's words name the place
            response = _down()
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        # A name that is looked up tells what it says, and no policy forbids that.
        response.headers.setdefault("X-DNS-Prefetch-Control", "off")
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        seat = seat_of(request)
        if seat is None:
            return self.get_response(request)
        if request.user.must_change_password and request.path_info not in _open_paths():  # type: ignore[union-attr]  # a seat is an account's
            return HttpResponseRedirect(reverse("admin:password_change"))
        if _has_nul(request):
            return _page(request, UNREADABLE, 400)
        with acting_as(_actor(seat, request)):
            if seat.tenant_id is None or _has_own_scope(request):
                return self._finished(request)
            with tenant_scope(seat.tenant_id, member_id=seat.member_id):
                response = self._finished(request)
                if response.status_code >= 400:
                    transaction.set_rollback(True)
                return response

    def _finished(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        face = _face(response.status_code)
        if face is None or request.headers.get("Ambit-Fragment"):
            return response
        return _page(request, face, response.status_code)


def _has_nul(request: HttpRequest) -> bool:
    """Say whether a field holds a NUL, which Postgres takes in no text."""
    fields = (request.GET, request.POST)
    return any("\x00" in v for f in fields for values in dict(f).values() for v in values)


def _open_paths() -> set[str]:
    return {reverse("admin:password_change"), reverse("admin:logout")}


def _has_own_scope(request: HttpRequest) -> bool:
    """Say whether the page opens scopes itself, because it waits for a model in between."""
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return False
    return bool(getattr(match.func, "own_scope", False))


def _actor(seat: Seat, request: HttpRequest) -> Actor:
    given = getattr(request, "request_id", None)
    request_id = given if isinstance(given, UUID) else None
    if seat.is_operator:
        return Actor("operator", seat.account_id, request_id=request_id)
    return Actor("member", seat.member_id, request_id=request_id)


def _face(status: int) -> Face | None:
    return FAULT if status >= 500 else FACES.get(status)


def _page(request: HttpRequest, face: Face, status: int) -> HttpResponse:
    """Answer in words; what is missing, another tenant's or not for the role is answered alike."""
    context = {
        **site_context(request),
        "title": face.title,
        "face": face,
        "request_id": getattr(request, "request_id", None) if face is FAULT else None,
    }
    page = render_to_string("ambit_admin/refusal.html", context, request=request)
    return HttpResponse(page, status=status)


def _down() -> HttpResponse:
    page = render_to_string("ambit_admin/down.html")
    return HttpResponse(page, status=503, headers={"Retry-After": "5"})
