"""Lists in pages: by number where rows can be counted cheaply, by cursor where they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PER_PAGE = 50


def page_of(request: HttpRequest, found: QuerySet[Any] | Sequence[Any]) -> Page[Any]:
    """Return the page of a list that the address asks for; a wrong number gives the nearest."""
    return Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
