"""Audit events: who did what, when, to which objects; read-only, and never content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.page import page, show
from ambit.admin.people import member_suggestions, members_by_id
from ambit.admin.words import object_kind
from ambit.audit.proofs import EventNotProved, Inclusion, prove_event
from tenants.ids import PREFIXES, parse_id, public_id
from tenants.models import ApiKey, AuditEvent, Member
from tenants.queries import MemberNotFound, find_member

ROLES: Final = ("admin", "privacy_officer", "auditor")
PER_PAGE = 100
ACTORS = ("operator", "service", "member", "worker")


@dataclass(frozen=True, slots=True)
class Line:
    """An event with names instead of ids where there are any."""

    event: AuditEvent
    actor: str
    behalf: Member | None
    kind: str | None


@page("audit/", name="events", roles=ROLES)
def events(request: HttpRequest) -> HttpResponseBase:
    """List events, newest first."""
    names = ("actor", "action", "object", "since", "until", "kind")
    wanted = {name: request.GET.get(name, "").strip() for name in names}
    problems: list[str] = []
    found = _filtered(AuditEvent.objects.order_by("-id"), wanted, problems)
    after = parse_id("event", request.GET.get("after", ""))
    if after:
        found = found.filter(pk__lt=after)
    rows = list(found[: PER_PAGE + 1]) if not problems else []
    shown = rows[:PER_PAGE]
    return show(
        request, "events.html", title="Audit events", lines=_lines(shown), wanted=wanted, problems=problems,
        filtered=any(wanted.values()), newest=bool(after), actors=ACTORS, suggestions=member_suggestions(),
        older=public_id("event", shown[-1].pk) if len(rows) > PER_PAGE else "",
        actions=_actions(),
    )  # fmt: skip


@page("audit/<ambit_event:event_id>/", name="event", roles=ROLES)
def event(request: HttpRequest, event_id: UUID) -> HttpResponseBase:
    """Show an event."""
    found = AuditEvent.objects.filter(pk=event_id).first()
    if found is None:
        raise Http404
    (line,) = _lines([found])
    return show(
        request, "event.html", title=found.action, trail=[("Audit events", reverse("admin:events"))],
        line=line, event=found, proved=_proved(event_id),
    )  # fmt: skip


def _proved(event_id: UUID) -> Inclusion | None:
    try:
        return prove_event(event_id)
    except EventNotProved:
        return None


def _filtered(
    found: QuerySet[AuditEvent], wanted: dict[str, str], problems: list[str]
) -> QuerySet[AuditEvent]:
    if wanted["actor"]:
        actor_id = _actor_id(wanted["actor"])
        if actor_id is None:
            problems.append("There is no active member, member id or key id like this.")
        found = found.filter(Q(actor_id=actor_id) | Q(member_id=actor_id))
    if wanted["kind"] in ACTORS:
        found = found.filter(actor_kind=wanted["kind"])
    if wanted["action"]:
        found = found.filter(action__startswith=wanted["action"])
    if wanted["object"]:
        object_id = _any_id(wanted["object"])
        if object_id is None:
            problems.append(
                "An object id looks like doc_0199…, with 32 characters after the underscore."
            )
        found = found.filter(Q(object_id=object_id) | Q(document_ids__contains=[object_id]))
    for name, label, edge in (("since", "From", time.min), ("until", "Until", time.max)):
        if not wanted[name]:
            continue
        day = _day(wanted[name])
        if day is None:
            problems.append(f"Write the day of “{label}” as year-month-day, such as 2026-03-31.")
            continue
        moment = datetime.combine(day, edge, tzinfo=UTC)
        found = found.filter(**{"at__gte" if name == "since" else "at__lte": moment})
    return found


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _actor_id(text: str) -> UUID | None:
    try:
        return find_member(text=text).pk
    except MemberNotFound:
        return parse_id("member", text) or parse_id("key", text)


def _any_id(text: str) -> UUID | None:
    for kind in PREFIXES:
        found = parse_id(kind, text)
        if found:
            return found
    return None


def _lines(found: list[AuditEvent]) -> list[Line]:
    members = members_by_id([*(e.actor_id for e in found), *(e.member_id for e in found)])
    keys = {
        k.pk: k for k in ApiKey.objects.filter(pk__in={e.actor_id for e in found if e.actor_id})
    }
    return [
        Line(
            event=e,
            actor=_actor(e, members, keys),
            behalf=members.get(e.member_id) if e.member_id and e.member_id != e.actor_id else None,
            kind=object_kind(e.action),
        )
        for e in found
    ]


def _actor(event: AuditEvent, members: dict[UUID, Member], keys: dict[UUID, ApiKey]) -> str:
    if event.actor_id in members:
        member = members[event.actor_id]
        return member.name or member.email
    if event.actor_id in keys:
        return f"key “{keys[event.actor_id].name}”"
    return {"operator": "the operator", "worker": "a worker"}.get(
        event.actor_kind, "someone who is gone"
    )


def _actions() -> list[str]:
    """Return the actions among the newest events, for suggestions."""
    recent = AuditEvent.objects.order_by("-id").values_list("action", flat=True)[:2000]
    return sorted(set(recent))
