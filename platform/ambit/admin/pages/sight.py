"""What a member can see, computed by the clearance that searches use; titles, never passages."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.access.clearance import clearance_for
from ambit.access.queries import list_collections
from ambit.admin.page import here, page, show, to
from ambit.admin.people import member_suggestions
from ambit.corpus.queries import list_documents
from tenants.audit import record
from tenants.ids import parse_id, public_id
from tenants.queries import MemberNotFound, find_member, get_member

ROLES: Final = ("admin", "privacy_officer")
PER_PAGE = 50


@page("sight/", name="sight", roles=ROLES)
def sight(request: HttpRequest) -> HttpResponseBase:
    """Ask which member is meant."""
    text = request.GET.get("member", "").strip()
    problem = ""
    if text:
        try:
            return to("member_sight", member_id=find_member(text=text).pk)
        except MemberNotFound:
            problem = "There is no active member of this name. Choose one of the suggestions."
    return show(
        request, "sight.html", title="What a member can see", member=None, text=text,
        problem=problem, suggestions=member_suggestions(),
    )  # fmt: skip


@page("members/<ambit_member:member_id>/sight/", name="member_sight", roles=ROLES)
def member_sight(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """List what a member can see right now."""
    found = get_member(member_id=member_id)
    after = parse_id("document", request.GET.get("after", ""))
    clearance = clearance_for(member_id=member_id)
    collections = list_collections(clearance=clearance)
    documents = list_documents(clearance=clearance, after=after, limit=PER_PAGE + 1)
    shown = documents[:PER_PAGE]
    record("member.sight_viewed", object_id=member_id, document_ids=[d.id for d in shown])
    names = {c.id: c.name for c in collections}
    return show(
        request, "sight.html", title=f"What {found.name or found.email} can see",
        trail=[("What a member can see", reverse("admin:sight"))], member=found,
        suggestions=member_suggestions(), collections=collections, newest=bool(after),
        documents=[(d, names.get(d.collection_id, "")) for d in shown],
        older=public_id("document", shown[-1].id) if len(documents) > PER_PAGE else "",
        is_admin=here(request).role == "admin",
    )  # fmt: skip
