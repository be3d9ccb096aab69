"""What filters mean to the database: conditions in search's statement, and in a list's.

Keys and values are parameters, never text of a statement. No index holds metadata: what reads it is
not leakproof, so that under row-level security Postgres looks into the metadata of those rows alone
that the policy let through, and would never take such an index.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import BooleanField, F, Func, JSONField, QuerySet, Value

from ambit.corpus.models import Document
from ambit.corpus.types import Filters, Scalar

# By the names of the filters and of their parameters.
_CONDITIONS = {
    "collection_ids": "AND collection_id = ANY (%(collection_ids)s::uuid[])",
    "created_after": "AND created_at >= %(created_after)s::timestamptz",
    "created_before": "AND created_at < %(created_before)s::timestamptz",
    "updated_after": "AND updated_at >= %(updated_after)s::timestamptz",
    "updated_before": "AND updated_at < %(updated_before)s::timestamptz",
}
# Equality, and not containment: many choices are looked up by their hash, one look for each row.
_METADATA = "AND metadata -> %(key_{n})s::text = ANY (%(choices_{n})s::jsonb[])"


class _ValueUnder(Func):
    """What a document's metadata holds under a key; Django's own takes "2026" for a place in a list."""

    template = "(%(expressions)s)"
    arg_joiner = " -> "
    output_field = JSONField()


class _IsOneOf(Func):
    """Whether it equals one of some JSON texts; Django's own takes 1 and true for the same."""

    template = "%(expressions)s::jsonb[])"
    arg_joiner = " = ANY ("
    output_field = BooleanField()


def conditions_on_documents(filters: Filters) -> tuple[str, dict[str, Any]]:
    """Return the conditions for a statement on documents, and their values by name."""
    plain = {name: getattr(filters, name) for name in _CONDITIONS}
    values = {name: value for name, value in plain.items() if value is not None}
    parts = [_CONDITIONS[name] for name in values]
    if filters.collection_ids is not None:
        values["collection_ids"] = list(filters.collection_ids)
    for n, (key, choices) in enumerate(filters.metadata):
        parts.append(_METADATA.format(n=n))
        values |= {f"key_{n}": key, f"choices_{n}": _json(choices)}
    return " ".join(parts), values


def filtered(found: QuerySet[Document], filters: Filters) -> QuerySet[Document]:
    """Return those of the documents that meet the filters."""
    if filters.collection_ids is not None:
        found = found.filter(collection_id__in=filters.collection_ids)
    times = {
        "created_at__gte": filters.created_after,
        "created_at__lt": filters.created_before,
        "updated_at__gte": filters.updated_after,
        "updated_at__lt": filters.updated_before,
    }
    found = found.filter(**{name: at for name, at in times.items() if at is not None})
    for key, choices in filters.metadata:
        found = found.filter(
            _IsOneOf(_ValueUnder(F("metadata"), Value(key)), Value(_json(choices)))
        )
    return found


def _json(choices: Sequence[Scalar]) -> list[str]:
    return [json.dumps(choice) for choice in choices]
