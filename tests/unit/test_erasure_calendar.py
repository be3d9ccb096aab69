"""When an erasure is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ambit.erasure.calendar import alarm_at, due_at


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-15T10:30:00", "2026-02-15T10:30:00"),
        ("2026-01-31T10:30:00", "2026-02-28T10:30:00"),
        ("2026-01-28T23:59:59", "2026-02-28T23:59:59"),
        ("2028-01-31T00:00:00", "2028-02-29T00:00:00"),
        ("2028-01-30T00:00:00", "2028-02-29T00:00:00"),
        ("2100-01-31T00:00:00", "2100-02-28T00:00:00"),
        ("2000-01-31T00:00:00", "2000-02-29T00:00:00"),
        ("2028-02-29T12:00:00", "2028-03-29T12:00:00"),
        ("2026-02-28T12:00:00", "2026-03-28T12:00:00"),
        ("2026-03-31T12:00:00", "2026-04-30T12:00:00"),
        ("2026-08-31T12:00:00", "2026-09-30T12:00:00"),
        ("2026-11-30T12:00:00", "2026-12-30T12:00:00"),
        ("2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("2026-12-31T23:00:00", "2027-01-31T23:00:00"),
    ],
)
def test_an_erasure_is_due_one_calendar_month_after_receipt(received: str, due: str) -> None:
    at = datetime.fromisoformat(received).replace(tzinfo=UTC)

    assert due_at(at) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-15T10:30:00", "2026-04-15T10:30:00"),
        ("2026-01-31T10:30:00", "2026-04-30T10:30:00"),
        ("2026-11-30T10:30:00", "2027-02-28T10:30:00"),
        ("2027-11-30T10:30:00", "2028-02-29T10:30:00"),
        ("2026-10-31T10:30:00", "2027-01-31T10:30:00"),
    ],
)
def test_an_extended_erasure_is_due_three_calendar_months_after_receipt(
    received: str, due: str
) -> None:
    at = datetime.fromisoformat(received).replace(tzinfo=UTC)

    assert due_at(at, extended=True) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_an_erasure_is_due_as_much_later_as_its_clock_stood() -> None:
    received, stopped = datetime(2026, 1, 31, 8, tzinfo=UTC), timedelta(days=3, hours=2)

    assert due_at(received, stopped=stopped) == datetime(2026, 3, 3, 10, tzinfo=UTC)
    assert due_at(received, stopped=stopped, extended=True) == datetime(2026, 5, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(("percent", "day"), [(0, 1), (50, 6), (80, 9), (100, 11)])
def test_an_alarm_is_due_at_its_share_of_the_time(percent: int, day: int) -> None:
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)

    assert alarm_at(percent, starts_at=first, due=last) == datetime(2026, 1, day, tzinfo=UTC)


def test_the_month_is_counted_in_utc() -> None:
    # Half past midnight on 1 March in Berlin is still 28 February in UTC.
    received = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))

    assert due_at(received) == datetime(2026, 3, 28, 23, 30, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        due_at(datetime(2026, 1, 31))  # noqa: DTZ001 - that is the point
