"""Find pages, people, groups and collections from the command palette (Ctrl+K)."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse

from ambit.access.queries import list_collections_as_custodian
from ambit.admin.menu import entries
from ambit.admin.seats import Seat
from tenants.models import Group, Member

EACH = 8


@dataclass(frozen=True, slots=True)
class Result:
    """A line that the palette offers."""

    title: str
    description: str
    link: str
    icon: str


def results_for(seat: Seat, text: str) -> list[Result]:
    """Return what a role may open and what its tenant has under these words."""
    wanted = text.strip().lower()
    if not wanted:
        return []
    found = [
        Result(entry.title, "page", reverse(f"admin:{entry.name}"), entry.icon)
        for _, some in entries(seat)
        for entry in some
        if wanted in entry.title.lower()
    ]
    if seat.role == "admin":
        found += _members(wanted) + _groups(wanted) + _collections(wanted)
    return found


def _members(wanted: str) -> list[Result]:
    named = (
        Q(name__icontains=wanted) | Q(email__icontains=wanted) | Q(external_id__icontains=wanted)
    )
    return [
        Result(m.name or m.email, "member", reverse("admin:member", args=[m.pk]), "person")
        for m in Member.objects.filter(named).order_by("name", "id")[:EACH]
    ]


def _groups(wanted: str) -> list[Result]:
    named = Q(name__icontains=wanted) | Q(external_id__icontains=wanted)
    return [
        Result(g.name, "group", reverse("admin:group", args=[g.pk]), "group")
        for g in Group.objects.filter(named).order_by("name", "id")[:EACH]
    ]


def _collections(wanted: str) -> list[Result]:
    found = [c for c in list_collections_as_custodian() if wanted in c.name.lower()]
    return [
        Result(c.name, "collection", reverse("admin:collection", args=[c.id]), "folder_open")
        for c in found[:EACH]
    ]
