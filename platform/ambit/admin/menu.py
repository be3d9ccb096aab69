"""What the frame around every page shows: the menu of the role, and whose data this is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from ambit.admin.page import PAGES
from ambit.admin.seats import Seat, seat_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu."""

    title: str
    icon: str
    name: str


MENU: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("Home", "home", "index"),
            Entry("Tenants", "domain", "tenants"),
            Entry("Usage", "monitoring", "usage"),
        ),
    ),
    (
        "Knowledge",
        (
            Entry("Documents", "description", "documents"),
            Entry("Collections", "folder_open", "collections"),
            Entry("Ask as a member", "quick_reference_all", "ask"),
            Entry("Answering", "edit_note", "answering"),
            Entry("Adapters", "tune", "adapters"),
        ),
    ),
    (
        "People",
        (
            Entry("Members", "person", "members"),
            Entry("Groups", "group", "groups"),
            Entry("What a member can see", "visibility", "sight"),
        ),
    ),
    (
        "Proof",
        (
            Entry("Erasures", "delete_history", "erasures"),
            Entry("Exports", "folder_zip", "exports"),
            Entry("Holds", "gavel", "holds"),
            Entry("Restrictions", "lock", "restrictions"),
            Entry("Retention", "auto_delete", "retention"),
            Entry("Audit events", "history", "events"),
            Entry("Audit proof", "verified", "trail"),
            Entry("Service keys", "key", "keys"),
        ),
    ),
)


def entries(seat: Seat) -> list[tuple[str, list[Entry]]]:
    """Return the menu of a role: only pages that it may open."""
    open_to = {p.name for p in PAGES if seat.role in p.roles}
    groups = [(title, [e for e in some if e.name in open_to]) for title, some in MENU]
    return [(title, some) for title, some in groups if some]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu as unfold wants it."""
    seat = seat_of(request)
    if seat is None:
        return []
    return [
        {
            "title": title,
            "separator": bool(title),
            "items": [_item(entry, request) for entry in some],
        }
        for title, some in entries(seat)
    ]


def ribbon(request: HttpRequest) -> list[str] | None:
    """Say whose data the page shows."""
    seat = seat_of(request)
    if seat is None:
        return None
    return ["Operator", "warning"] if seat.is_operator else [seat.tenant_name, "info"]


def _item(entry: Entry, request: HttpRequest) -> dict[str, Any]:
    link = reverse(f"admin:{entry.name}")
    active = request.path == link if entry.name == "index" else request.path.startswith(link)
    return {"title": entry.title, "icon": entry.icon, "link": link, "active": active}
