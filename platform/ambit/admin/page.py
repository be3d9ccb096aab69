"""Declare pages: their path, who may use them, and what a role that may not gets (404)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import register_converter

from ambit.access.queries import CollectionNotFound
from ambit.admin.frame import site_context
from ambit.admin.seats import Seat, SeatRole, seat_of
from ambit.corpus.queries import DocumentNotFound
from tenants.audit import has_recorded, record
from tenants.ids import PREFIXES, parse_id, public_id
from tenants.queries import GroupNotFound, KeyNotFound, MemberNotFound, TenantNotFound

View = Callable[..., HttpResponseBase]
MISSING: list[type[Exception]] = [
    CollectionNotFound,
    DocumentNotFound,
    GroupNotFound,
    KeyNotFound,
    MemberNotFound,
    TenantNotFound,
]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the admin web UI."""

    path: str
    name: str
    roles: frozenset[SeatRole]
    methods: tuple[str, ...]
    view: View


PAGES: list[Page] = []


def page(
    path: str,
    *,
    name: str,
    roles: Iterable[SeatRole],
    methods: tuple[str, ...] = ("GET",),
    own_scope: bool = False,
) -> Callable[[View], View]:
    """Declare a page; other roles are told that there is none.

    own_scope: the page opens its tenant's scope itself, because it waits for a model in between.
    """
    allowed = frozenset(roles)

    def declare(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            seat = seat_of(request)
            if seat is None or seat.role not in allowed:
                raise Http404
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            try:
                answer = view(request, **arguments)
            except tuple(MISSING) as error:
                raise Http404 from error
            # Every page that shows a tenant's things leaves an event, also where it has none of its own.
            if not seat.is_operator and not own_scope and not has_recorded():
                record(f"page.{name}_viewed", object_id=_id_in(arguments))
            return answer

        guarded.own_scope = own_scope  # type: ignore[attr-defined]  # read by the middleware
        PAGES.append(Page(path, name, allowed, methods, guarded))
        return guarded

    return declare


def _id_in(arguments: dict[str, Any]) -> UUID | None:
    return next((value for value in arguments.values() if isinstance(value, UUID)), None)


def show(
    request: HttpRequest,
    template: str,
    *,
    title: str,
    trail: Iterable[tuple[str, str]] = (),
    refused: bool = False,
    **context: Any,
) -> TemplateResponse:
    """Render a page inside the site's frame; a refused form answers 422, which rolls back."""
    return TemplateResponse(
        request,
        f"ambit_admin/{template}",
        {**site_context(request), "title": title, "trail": list(trail), **context},
        status=422 if refused else 200,
    )


def here(request: HttpRequest) -> Seat:
    """Return who sits behind a request that passed its page's guard."""
    seat = seat_of(request)
    if seat is None:
        raise Http404
    return seat


def to(name: str, /, **arguments: Any) -> HttpResponseBase:
    """Send the browser to a page, after something was done."""
    answer: HttpResponseBase = redirect(f"admin:{name}", **arguments)
    return answer


def _converter(kind: str) -> type:
    class Converter:
        """Public ids of one kind in paths."""

        regex = f"{PREFIXES[kind]}_[0-9a-f]{{32}}"

        def to_python(self, value: str) -> UUID:
            found = parse_id(kind, value)
            if found is None:
                raise ValueError(value)
            return found

        def to_url(self, value: UUID | str) -> str:
            return value if isinstance(value, str) else public_id(kind, value)

    return Converter


for _kind in (
    "tenant",
    "member",
    "group",
    "key",
    "collection",
    "document",
    "erasure",
    "hold",
    "restriction",
    "event",
    "export",
):
    register_converter(_converter(_kind), f"ambit_{_kind}")
