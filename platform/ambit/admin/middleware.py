"""Give every request to the admin web UI its tenant's scope, its actor and its headers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse

from ambit.admin.frame import site_context
from ambit.admin.seats import Seat, seat_of
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope

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
        response = self._answer(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        seat = seat_of(request)
        if seat is None:
            return self.get_response(request)
        if request.user.must_change_password and request.path_info not in _open_paths():  # type: ignore[union-attr]  # a seat is an account's
            return HttpResponseRedirect(reverse("admin:password_change"))
        with acting_as(_actor(seat, request)):
            if seat.tenant_id is None:
                return self._finished(request)
            if _has_own_scope(request):
                return self._finished(request, scope_of=seat)
            with tenant_scope(seat.tenant_id, member_id=seat.member_id):
                response = self._finished(request)
                if response.status_code >= 400:
                    transaction.set_rollback(True)
                return response

    def _finished(self, request: HttpRequest, *, scope_of: Seat | None = None) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code != 404 or request.headers.get("Ambit-Fragment"):
            return response
        if scope_of is None or scope_of.tenant_id is None:
            return _missing(request)
        with tenant_scope(scope_of.tenant_id, member_id=scope_of.member_id):
            return _missing(request)


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


def _missing(request: HttpRequest) -> HttpResponse:
    """Answer alike for what is not there, what is another tenant's and what the role may not see."""
    context = {**site_context(request), "title": "Page not found"}
    page = render_to_string("ambit_admin/missing.html", context, request=request)
    return HttpResponse(page, status=404)
