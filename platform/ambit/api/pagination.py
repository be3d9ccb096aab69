"""Page through lists, newest first, by an opaque cursor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
_VERSION = b"\x01"

T = TypeVar("T")


class BadCursor(ValueError):
    """A cursor was not one of those that were handed out."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list and where it goes on."""

    items: Sequence[T]
    next: str | None


def page_of(
    read: Callable[[UUID | None, int], Sequence[T]],
    *,
    cursor: str | None,
    limit: int,
    id_of: Callable[[T], UUID],
) -> Page[T]:
    """Read one page through a function of (after, limit); raise BadCursor."""
    found = read(_read_cursor(cursor) if cursor else None, limit + 1)
    items = found[:limit]
    more = len(found) > limit
    return Page(items, _cursor(id_of(items[-1])) if more else None)


def page_of_all(
    items: Sequence[T], *, cursor: str | None, limit: int, id_of: Callable[[T], UUID]
) -> Page[T]:
    """Cut one page out of a whole list, in its order; a cursor whose item is gone ends the list."""

    def read(after: UUID | None, wanted: int) -> Sequence[T]:
        if after is None:
            return items[:wanted]
        places = [place for place, item in enumerate(items) if id_of(item) == after]
        return items[places[0] + 1 :][:wanted] if places else []

    return page_of(read, cursor=cursor, limit=limit, id_of=id_of)


def _cursor(last: UUID) -> str:
    return base64.urlsafe_b64encode(_VERSION + last.bytes).decode().rstrip("=")


def _read_cursor(text: str) -> UUID:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadCursor from error
    if len(raw) != 17 or raw[:1] != _VERSION:
        raise BadCursor
    return UUID(bytes=raw[1:])
