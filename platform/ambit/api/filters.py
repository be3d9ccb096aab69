"""Read filters: which of the documents that the member may see are meant.

What is asked for may be personal: no refusal repeats a key, a value or a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ambit.api.bodies import Input, JsonObject, from_form
from ambit.corpus.types import Filters, Scalar

MAX_KEYS = 20
MAX_CHOICES = 100
_TIMES = ("created", "updated")
EQUAL = (
    f"At most {MAX_KEYS} keys, each with a string, number or boolean, or a list of at most"
    f" {MAX_CHOICES}. A document matches when its metadata has every key, with a value equal as JSON to"
    " one of those given. An empty list matches nothing."
)
_FROM = "ISO 8601 with an offset. Documents {} then or later."
_UNTIL = "ISO 8601 with an offset, later than `{}_after`. Documents {} before."


class Wanted(JsonObject):
    """Keys of documents' metadata, each with the values wanted."""

    def to_internal_value(self, data: Any) -> Any:
        """Return keys and choices in pairs; raise ValidationError."""
        if not isinstance(data, dict):
            raise ValidationError("Send a JSON object.", code="invalid")
        if len(data) > MAX_KEYS:
            raise ValidationError(f"Send at most {MAX_KEYS} keys.", code="max_length")
        wanted = super().to_internal_value(data)
        return tuple((key, _choices(value)) for key, value in wanted.items())


class WantedInQuery(Wanted):
    """The same in an address, as JSON text."""

    def to_internal_value(self, data: Any) -> Any:
        """Return keys and choices in pairs; raise ValidationError."""
        return super().to_internal_value(from_form(data) if isinstance(data, str) else data)


class Moment(serializers.Field[Any, Any, Any, Any]):
    """A point in time; one without an offset is refused, since it is another one everywhere."""

    def to_internal_value(self, data: Any) -> datetime:
        """Return the time in UTC; raise ValidationError."""
        try:
            found = datetime.fromisoformat(data) if isinstance(data, str) else None
            if found is not None and found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            found = None
        if found is None:
            words = "Send a time in ISO 8601, such as 2026-03-01T00:00:00Z."
            raise ValidationError(words, code="invalid")
        words = "Say the time's offset from UTC: 2026-03-01T00:00:00Z, or +01:00 in place of Z."
        raise ValidationError(words, code="no_offset")

    def to_representation(self, value: Any) -> str:
        """Return it as text; never asked for, as it only comes in."""
        return str(value)


def _moment(words: str) -> Moment:
    return Moment(required=False, allow_null=True, default=None, help_text=words)


class FilterFields(Input):
    """Conditions that a document must meet, all of them; left out or null, one restricts nothing."""

    metadata = Wanted(required=False, allow_null=True, default=None, help_text=EQUAL)
    created_after = _moment(_FROM.format("received"))
    created_before = _moment(_UNTIL.format("created", "received"))
    updated_after = _moment(_FROM.format("changed (content or grants)"))
    updated_before = _moment(_UNTIL.format("updated", "changed (content or grants)"))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a time span in which nothing can lie."""
        for name in _TIMES:
            after, before = attrs[f"{name}_after"], attrs[f"{name}_before"]
            if after is not None and before is not None and after >= before:
                words = f"Send a time later than `{name}_after`."
                raise ValidationError({f"{name}_before": words}, code="invalid")
        return attrs


def read_filters(asked: dict[str, Any], *, collection_ids: Sequence[UUID] | None) -> Filters:
    """Return the filters that were asked for, within some collections."""
    return Filters(
        collection_ids=None if collection_ids is None else tuple(collection_ids),
        metadata=asked["metadata"] or (),
        created_after=asked["created_after"],
        created_before=asked["created_before"],
        updated_after=asked["updated_after"],
        updated_before=asked["updated_before"],
    )


def _choices(value: Any) -> tuple[Scalar, ...]:
    choices = value if isinstance(value, list) else [value]
    if len(choices) > MAX_CHOICES:
        raise ValidationError(f"Send at most {MAX_CHOICES} values for a key.", code="max_length")
    if not all(isinstance(choice, Scalar) for choice in choices):
        words = "Send strings, numbers or booleans, one or a list for each key."
        raise ValidationError(words, code="invalid")
    return tuple(choices)
