"""What the frame around every page needs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from ambit.admin.seats import seat_of


def site_context(request: HttpRequest) -> dict[str, Any]:
    """Return unfold's context with the seat, and an empty trail."""
    return {**admin.site.each_context(request), "seat": seat_of(request), "trail": []}
