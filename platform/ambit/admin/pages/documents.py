"""Documents: where each stands and why, retry, delete, grants; never a passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from ambit.access.audiences import UnknownPrincipal
from ambit.access.documents import write_grants
from ambit.access.queries import (
    collection_grants,
    document_grants,
    get_collection_as_custodian,
    list_collections_as_custodian,
)
from ambit.access.types import GrantSpec
from ambit.admin.grants import GONE, GrantsRefused, editor, read_grants
from ambit.admin.page import page, show, to
from ambit.admin.people import grant_lines, principal_suggestions
from ambit.admin.words import DOCUMENT_STATES, UNFINISHED
from ambit.corpus.queries import get_document_as_custodian, list_documents_as_custodian
from ambit.corpus.services import ExternalIdTaken, NotRetryable, delete_document, retry_version
from ambit.corpus.types import DocumentView, Filters, VersionView
from tenants.audit import record
from tenants.ids import parse_id, public_id

ROLES: Final = ("admin",)
TAKEN = "Another document of these readers has this one’s external id; nothing was changed."
PER_PAGE = 50
# Titles are kept sealed, so finding one means opening them one by one: only the newest are looked at.
SEARCHED = 2000
STEPS = ("received", "parsed", "chunked", "embedded", "ready")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a version's way, reached or not yet."""

    name: str
    at: datetime | None


def shown_state(document: DocumentView) -> str:
    """Return a document's state as people read it: hiding and erasing outrank the newest version's."""
    if document.erased_at:
        return "erased"
    if document.withheld_at:
        return "restricted"
    return "deleted" if document.hidden_at else document.latest.state


@page("documents/", name="documents", roles=ROLES)
def documents(request: HttpRequest) -> HttpResponseBase:
    """List and find documents, newest first."""
    text, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    collections = list_collections_as_custodian()
    chosen = parse_id("collection", request.GET.get("collection", ""))
    after = parse_id("document", request.GET.get("after", ""))
    within = Filters(collection_ids=(chosen,) if chosen else None)
    state = state if state in DOCUMENT_STATES else ""
    if text:
        found = _titled(text, within, state)
    else:
        found = list_documents_as_custodian(
            after=after, limit=PER_PAGE + 1, filters=within, state=state or None
        )
    names = {c.id: c.name for c in collections}
    shown = found[:PER_PAGE]
    record("document.records_listed", document_ids=[d.id for d in shown])
    return show(
        request, "documents.html", title="Documents", q=text, state=state, states=DOCUMENT_STATES,
        collections=collections, chosen=public_id("collection", chosen) if chosen else "",
        rows=[(d, names.get(d.collection_id, ""), shown_state(d)) for d in shown],
        older=public_id("document", shown[-1].id) if len(found) > PER_PAGE and not text else "",
        newest=bool(after), filtered=bool(text or state or chosen), searched=SEARCHED,
        unfinished=any(shown_state(d) in UNFINISHED for d in shown),
    )  # fmt: skip


@page("documents/<ambit_document:document_id>/", name="document", roles=ROLES)
def document(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """Show a document's record."""
    found = get_document_as_custodian(document_id=document_id)
    record("document.record_viewed", object_id=document_id, document_ids=[document_id])
    return _show(request, found)


@page("documents/<ambit_document:document_id>/state/", name="document_state", roles=ROLES)
def document_state(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """Return the part of the page that changes while a document is read in."""
    found = get_document_as_custodian(document_id=document_id)
    return TemplateResponse(request, "ambit_admin/parts/document_state.html", _state(found))


@page(
    "documents/<ambit_document:document_id>/retry/",
    name="document_retry",
    roles=ROLES,
    methods=("POST",),
)
def document_retry(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """Try a failed document again."""
    try:
        retry_version(document_id=document_id)
    except NotRetryable:
        messages.warning(
            request, "Only a failed document can be tried again; this one is not failed now."
        )
    else:
        messages.success(request, "The document is being tried again.")
    return to("document", document_id=document_id)


@page(
    "documents/<ambit_document:document_id>/delete/",
    name="document_delete",
    roles=ROLES,
    methods=("GET", "POST"),
)
def document_delete(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """Delete a document."""
    found = get_document_as_custodian(document_id=document_id)
    if request.method == "POST":
        delete_document(document_id=document_id)
        messages.success(
            request, "The document is hidden from everyone now; its data are being destroyed."
        )
        return to("documents")
    record("document.record_viewed", object_id=document_id, document_ids=[document_id])
    return show(
        request, "confirm.html", title=f"Delete “{found.title}”?", trail=_trail(found),
        consequences=[
            "Nobody finds it from this moment on: not in searches, answers or lists.",
            "The original, its text, vectors and keys are destroyed by the workers. There is no undo.",
            "To forget a person in all documents, and get a receipt, request an erasure instead.",
        ],
        submit="Delete document", danger=True, cancel=reverse("admin:document", args=[document_id]),
    )  # fmt: skip


@page(
    "documents/<ambit_document:document_id>/grants/",
    name="document_grants",
    roles=ROLES,
    methods=("POST",),
)
def document_grants_page(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """Give a document grants of its own, or its collection's again."""
    found = get_document_as_custodian(document_id=document_id)
    try:
        own = None if request.POST.get("do") == "inherit" else read_grants(request.POST)
        with transaction.atomic():
            write_grants(document=found, grants=own)
    except GrantsRefused as error:
        messages.error(request, error.sentence)
    except UnknownPrincipal:
        messages.error(request, GONE)
    except ExternalIdTaken:
        messages.error(request, TAKEN)
    else:
        messages.success(request, "The grants are saved; in force with the next search.")
    return to("document", document_id=document_id)


def effective_grants(found: DocumentView) -> Sequence[GrantSpec]:
    """Return the grants in force: the document's own where it has any, else its collection's."""
    if found.own_grants:
        return document_grants(document_id=found.id)
    return collection_grants(collection_id=found.collection_id)


def _show(request: HttpRequest, found: DocumentView) -> HttpResponseBase:
    lines = grant_lines(effective_grants(found))
    return show(
        request, "document.html", title=found.title or "Erased document",
        trail=[("Documents", reverse("admin:documents"))],
        collection=get_collection_as_custodian(collection_id=found.collection_id),
        editor=editor(lines, principal_suggestions()), **_state(found),
    )  # fmt: skip


def _state(found: DocumentView) -> dict[str, Any]:
    state = shown_state(found)
    return {
        "document": found,
        "state": state,
        "final": state not in UNFINISHED and state != "deleted",
        "steps": _steps(found.latest),
        "replacing": found.current is not None and found.current.id != found.latest.id,
    }


def _steps(version: VersionView) -> list[Step]:
    return [Step(name, getattr(version, f"{name}_at")) for name in STEPS]


def _titled(text: str, within: Filters, state: str) -> list[DocumentView]:
    found: list[DocumentView] = []
    after: UUID | None = None
    for _ in range(SEARCHED // 500):
        some = list_documents_as_custodian(
            after=after, limit=500, filters=within, state=state or None
        )
        found += [
            d
            for d in some
            if text.lower() in d.title.lower() or text == public_id("document", d.id)
        ]
        if len(some) < 500 or len(found) > PER_PAGE:
            break
        after = some[-1].id
    return found


def _trail(found: DocumentView) -> list[tuple[str, str]]:
    return [
        ("Documents", reverse("admin:documents")),
        (found.title, reverse("admin:document", args=[found.id])),
    ]
