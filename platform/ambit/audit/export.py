"""What leaves with a tenant that wants to check its trail itself: verify.py reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection

from ambit.audit.entries import PARTS, moment, values_of, written
from ambit.audit.models import Checkpoint
from ambit.audit.verify import NOTE_END
from tenants.scope import current_tenant_id

READ_AT_ONCE = 1000
_LINES = """
SELECT l.number, l.who, l.what, e.tenant_id, e.id, e.at, e.action, e.actor_kind, e.counts,
       e.actor_id, e.member_id, e.request_id, e.who_salt,
       e.object_id, e.document_ids, e.chunk_ids, e.what_salt
FROM audit_leaf l JOIN tenants_auditevent e ON e.tenant_id = l.tenant_id AND e.id = l.id
WHERE l.tenant_id = %s AND l.number >= %s
ORDER BY l.number LIMIT %s
"""

_UNNUMBERED = """
SELECT e.id, e.at, e.action FROM tenants_auditevent e
WHERE e.tenant_id = %s AND NOT EXISTS (
    SELECT FROM audit_leaf l WHERE l.tenant_id = e.tenant_id AND l.id = e.id)
ORDER BY e.id LIMIT %s
"""
# There should be some of the last seconds; of more, these are told.
MOST_UNNUMBERED = 10_000


def exported_events(*, start: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the events of the tenant in scope that its tree has, in the order of their numbers."""
    while events := read_events(start=start):
        yield from events
        start += len(events)


def read_events(*, start: int, limit: int = READ_AT_ONCE) -> list[dict[str, Any]]:
    """Return so many events from a number on, as lines of an export."""
    with connection.cursor() as cursor:
        cursor.execute(_LINES, [current_tenant_id(), start, limit])
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    return [_line(dict(zip(names, row, strict=True))) for row in rows]


def read_unnumbered() -> list[dict[str, Any]]:
    """Return the tenant's events that its tree has not: new ones, or such as were put past it."""
    with connection.cursor() as cursor:
        cursor.execute(_UNNUMBERED, [current_tenant_id(), MOST_UNNUMBERED])
        rows = cursor.fetchall()
    return [
        {"entry": {"id": str(id), "at": moment(at), "action": action}} for id, at, action in rows
    ]


def read_notes(*, above: int, limit: int = READ_AT_ONCE) -> list[tuple[int, str]]:
    """Return so many checkpoints of more events than that: their size and what a *.notes file has of them."""
    found = Checkpoint.objects.filter(size__gt=above).order_by("size")
    return [
        (size, note.rstrip("\n") + NOTE_END)
        for size, note in found.values_list("size", "note")[:limit]
    ]


def _line(event: dict[str, Any]) -> dict[str, Any]:
    who, what = bytes(event["who"]).hex(), bytes(event["what"]).hex()
    return {
        "entry": written(event, number=event["number"], who=who, what=what),
        **{part: _shown(event, part) for part in PARTS},
    }


def _shown(event: dict[str, Any], part: str) -> dict[str, Any] | None:
    salt = event[f"{part}_salt"]
    if salt is None:
        return None
    return {"salt": bytes(salt).hex(), "value": values_of(event, part)}
