"""When an erasure is due (GDPR Art. 12(3)), and how much of its time has passed; in UTC. Pure."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

MONTHS, MONTHS_EXTENDED = 1, 3
# Of the time there is: when an open case is brought to mind.
ALARMS = (50, 80, 100)


def due_at(
    received_at: datetime, *, stopped: timedelta = timedelta(0), extended: bool = False
) -> datetime:
    """Return the same day and time of the next month in UTC, or that month's last day.

    31 January is answered by the end of February. stopped: for how long the clock stood; extended:
    by two further months, so three from receipt. Raises ValueError for a time without a zone.
    """
    if received_at.tzinfo is None:
        raise ValueError("a time of receipt needs a time zone")
    received = received_at.astimezone(UTC)
    months = received.year * 12 + received.month - 1 + (MONTHS_EXTENDED if extended else MONTHS)
    year, month = divmod(months, 12)
    day = min(received.day, monthrange(year, month + 1)[1])
    return received.replace(year=year, month=month + 1, day=day) + stopped


def alarm_at(percent: int, *, starts_at: datetime, due: datetime) -> datetime:
    """Return when so much of the time between two moments has passed."""
    return starts_at + (due - starts_at) * percent / 100
