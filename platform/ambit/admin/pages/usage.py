"""What answering cost: this month against its quota, day by day, by member, model and key."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, get_args

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ambit.admin.listing import page_of
from ambit.admin.page import page, show
from ambit.metering.queries import list_usage, this_month, view_limits
from ambit.metering.tables import usage_csv, usage_file_name
from ambit.metering.types import GROUPS, GroupName, Usage
from tenants.models import ApiKey, Member

ROLES: Final = ("admin",)
BY: dict[GroupName, str] = {"member": "Member", "model": "Model", "key": "Key", "kind": "Kind"}
ERASED = "Erased, or none"
KINDS = {"answer": "Answers", "chat": "Chat", "condense": "Follow-up questions put anew"}
# Of the picture of days, in its own units.
WIDTH, HEIGHT, GAP = 31, 100, 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the picture."""

    day: date
    tokens: int
    requests: int
    left: int
    height: int

    @property
    def top(self) -> int:
        """Where it begins."""
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table."""

    name: str
    usage: Usage
    # Of the month's tokens, in percent.
    share: int


@page("usage/", name="usage", roles=ROLES)
def usage(request: HttpRequest) -> HttpResponseBase:
    """Show a month's usage."""
    first = _month(request)
    last = _last_day(first)
    by = _by(request)
    (total,) = list_usage(first=first, last=last, groups=())
    now = this_month()
    limits = view_limits() if first == now else None
    return show(
        request, "usage.html", title="Usage", first=first, total=total, limits=limits,
        bars=_bars(list_usage(first=first, last=last, groups=("day",)), first=first),
        rows=page_of(request, _lines(list_usage(first=first, last=last, groups=(by,)), by=by, total=total)),
        by=by, ways=BY.items(), of_what=BY[by], width=WIDTH * (WIDTH + GAP), height=HEIGHT, bar=WIDTH,
        earlier=_last_day(first - timedelta(days=1)).replace(day=1), later=last + timedelta(days=1),
        is_now=first == now,
    )  # fmt: skip


@page("usage/csv/", name="usage_csv", roles=ROLES)
def usage_file(request: HttpRequest) -> HttpResponseBase:
    """Download a month's usage, a line for each day, member, key, model and kind."""
    first = _month(request)
    last = _last_day(first)
    rows = list_usage(first=first, last=last, groups=GROUPS)
    name = usage_file_name(first, last)
    return HttpResponse(
        usage_csv(rows, groups=GROUPS),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _month(request: HttpRequest) -> date:
    """Return the first day of the month that the address names; of this one where it names none."""
    try:
        asked = date.fromisoformat(f"{request.GET.get('month', '')}-01")
    except ValueError:
        return this_month()
    return min(asked, this_month()) if asked.year >= 2000 else this_month()


def _last_day(first: date) -> date:
    return first.replace(day=monthrange(first.year, first.month)[1])


def _by(request: HttpRequest) -> GroupName:
    asked = request.GET.get("by", "")
    return next((name for name in get_args(GroupName) if name == asked and name in BY), "member")


def _bars(days: Sequence[Usage], *, first: date) -> list[Bar]:
    used = {row.day: row for row in days}
    most = max((row.tokens for row in days), default=0) or 1
    bars = []
    for place in range(_last_day(first).day):
        day = first + timedelta(days=place)
        row = used.get(day)
        tokens = row.tokens if row else 0
        # What is little is seen too.
        height = max(1, round(HEIGHT * tokens / most)) if tokens else 0
        bars.append(Bar(day, tokens, row.requests if row else 0, place * (WIDTH + GAP), height))
    return bars


def _lines(rows: Sequence[Usage], *, by: GroupName, total: Usage) -> list[Line]:
    names = _names(rows, by=by)
    lines = [
        Line(name, row, round(100 * row.tokens / total.tokens) if total.tokens else 0)
        for row, name in zip(rows, names, strict=True)
    ]
    return sorted(lines, key=lambda line: (-line.usage.tokens, -line.usage.requests, line.name))


def _names(rows: Sequence[Usage], *, by: GroupName) -> list[str]:
    if by == "model":
        return [row.model or "" for row in rows]
    if by == "kind":
        return [KINDS.get(row.kind or "", row.kind or "") for row in rows]
    if by == "key":
        keys = dict(
            ApiKey.objects.filter(pk__in=[r.key_id for r in rows if r.key_id]).values_list(
                "pk", "name"
            )
        )
        return [
            keys.get(row.key_id, "A key that is gone") if row.key_id else "None: this web UI"
            for row in rows
        ]
    people = Member.objects.in_bulk([row.member_id for row in rows if row.member_id])
    found = [people.get(row.member_id) if row.member_id else None for row in rows]
    return [(one.name or one.email) if one else "Erased people" for one in found]
