"""Answer every exception as application/problem+json (RFC 9457), by the one table.

What the table lacks is a fault of ours: 500, logged by its place and never its words, which may
quote content.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.request import Request

from ambit.adapters.services import TrainingDocumentsUnknown
from ambit.api.principals import PrincipalNotFound
from ambit.api.problem import Problem
from ambit.api.problem_table import FAULT, TABLE, UNAUTHENTICATED
from ambit.api.requests import request_id_of
from ambit.metering.limits import QuotaSpent, RateLimited
from ambit.metering.turns import NoTurn
from tenants.rls import is_of_ending_tenant

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
PAGE = "/docs/problems"
# Told by a field's error where one is: the request as a whole is refused for this.
_LEADING_CODES = ("unknown_field", "not_supported")


def problem_response(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Answer an exception of a view as application/problem+json; DRF's exception handler."""
    request = context["request"]
    plain = request._request if isinstance(request, Request) else request  # noqa: SLF001 - DRF's wrapper
    body = problem_body(error, request=plain)
    return _response(body, headers=dict(_headers(error, body["status"])))


def problem_body(error: Exception, *, request: HttpRequest) -> dict[str, Any]:
    """Return the problem an exception means, and log it when it is a fault of ours."""
    problem = _lookup(error)
    if problem is FAULT:
        log_fault(error, request=request)
    errors = list(_errors(error))
    codes = {e["code"] for e in errors}
    code = next((c for c in _LEADING_CODES if c in codes), problem.code)
    return {
        "type": f"{PAGE}#{code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail.format(error=error),
        "code": code,
        "request_id": str(request_id_of(request)),
        "errors": errors,
    }


def log_fault(error: BaseException, *, request: HttpRequest) -> None:
    """Log where a fault happened; its words may quote content and are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    logger.error(
        "api.fault",
        extra={
            "request_id": str(request_id_of(request)),
            "error": type(error).__name__,
            "frames": [f"{f.filename}:{f.lineno} {f.name}" for f in frames],
        },
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refused before any view."""
    return problem_response(exception, {"request": request})


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal outside the API's views."""
    return problem_response(exception, {"request": request})


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that nothing has."""
    return problem_response(Http404(), {"request": request})


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a fault outside the API's views; Django has logged it."""
    return _response(_body_of_fault(request), headers={})


def _body_of_fault(request: HttpRequest) -> dict[str, Any]:
    return {
        "type": f"{PAGE}#{FAULT.code}",
        "title": FAULT.title,
        "status": FAULT.status,
        "detail": FAULT.detail,
        "code": FAULT.code,
        "request_id": str(request_id_of(request)),
        "errors": [],
    }


def _lookup(error: Exception) -> Problem:
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    # It was let in a moment before its tenant ended: it is told what the next request is told.
    return UNAUTHENTICATED if is_of_ending_tenant(error) else FAULT


def _headers(error: Exception, status: int) -> Iterator[tuple[str, str]]:
    if isinstance(error, RateLimited):
        yield from error.headers.items()
    retry_after_s = _lookup(error).retry_after_s
    if isinstance(error, RateLimited | QuotaSpent | NoTurn):
        # These know better when to come again.
        retry_after_s = error.retry_after_s
    if retry_after_s is not None:
        yield "Retry-After", str(retry_after_s)
    if status == 401:
        yield "WWW-Authenticate", 'Bearer realm="ambit"'


def _errors(error: Exception) -> Iterator[dict[str, str]]:
    if isinstance(error, drf.ValidationError):
        yield from _flat(error.detail, "")
    elif isinstance(error, PrincipalNotFound):
        for place in error.places:
            yield {
                "field": f"grants.{place}.principal",
                "code": "unknown_principal",
                "detail": "This tenant has no such member or group.",
            }
    elif isinstance(error, TrainingDocumentsUnknown):
        for place in error.places:
            yield {
                "field": f"documents.{place}",
                "code": "training_document_unknown",
                "detail": "There is no such document to be seen, or this is not its current version.",
            }


def _flat(detail: Any, path: str) -> Iterator[dict[str, str]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _flat(inner, ".".join(p for p in (path, own) if p))
    elif isinstance(detail, drf.ErrorDetail):
        yield {"field": path, "code": str(detail.code), "detail": str(detail)}
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            at = path if isinstance(inner, drf.ErrorDetail) else f"{path}.{place}".strip(".")
            yield from _flat(inner, at)


def _response(body: dict[str, Any], *, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(
        json.dumps(body),
        status=body["status"],
        headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **headers},
    )
