"""When an erasure is due: one calendar month after receipt (GDPR Art. 12(3)). Pure."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime


def due_at(received_at: datetime) -> datetime:
    """Return the same day and time of the next month in UTC, or that month's last day.

    31 January is answered by the end of February. Raises ValueError for a time without a zone.
    """
    if received_at.tzinfo is None:
        raise ValueError("a time of receipt needs a time zone")
    received = received_at.astimezone(UTC)
    year, month = divmod(received.year * 12 + received.month, 12)
    day = min(received.day, monthrange(year, month + 1)[1])
    return received.replace(year=year, month=month + 1, day=day)
