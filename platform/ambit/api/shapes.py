"""Shapes that several resources share: pages, their query, and problems."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from ambit.api.bodies import Input, Text, Whole
from ambit.api.pagination import DEFAULT_LIMIT, MAX_LIMIT, Page

Output = serializers.Serializer[Any]


class PageQuery(Input):
    """Which part of a list."""

    cursor = Text(required=False, max_length=100, help_text="`next` of the page before.")
    limit = Whole(required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT)


class FieldErrorOutput(Output):
    """What is wrong with one field."""

    field = serializers.CharField(help_text="Its path, such as grants.0.role.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemOutput(Output):
    """Why a request was refused (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable; programs decide by it.")
    request_id = serializers.CharField()
    errors = FieldErrorOutput(many=True)  # type: ignore[assignment]  # a field, read from its class by DRF


def page_shape(name: str, item: serializers.BaseSerializer[Any]) -> type[Output]:
    """Return the shape of a page of items."""
    fields = {
        "results": item,
        "next": serializers.CharField(
            allow_null=True, help_text="The next page's `cursor`; null on the last page."
        ),
        "__doc__": "A part of a list, newest first unless said otherwise.",
        "__module__": __name__,
    }
    return type(name, (serializers.Serializer,), fields)


def paged(page: Page[Any], shape: type[Output], **kwargs: Any) -> dict[str, Any]:
    """Return a page's body."""
    return {"results": shape(page.items, many=True, **kwargs).data, "next": page.next}
