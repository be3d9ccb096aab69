"""Collections: sets of documents that share grants."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.access.audiences import UnknownPrincipal
from ambit.access.clearance import readers_of
from ambit.access.queries import (
    collection_grants,
    get_collection_as_custodian,
    list_collections_as_custodian,
)
from ambit.access.services import CollectionNameTaken, create_collection, set_collection_grants
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.admin.forms import PlainForm
from ambit.admin.grants import GONE, GrantsRefused, editor, read_grants
from ambit.admin.listing import page_of
from ambit.admin.page import here, page, show, to
from ambit.admin.paths import readers_with_ways
from ambit.admin.people import grant_lines, principal_suggestions
from ambit.corpus.queries import list_documents_as_custodian
from ambit.corpus.types import Filters
from tenants.audit import record

ROLES: Final = ("admin",)
SHOWN = 10


class CollectionForm(PlainForm):
    """Asks for a new collection."""

    name = forms.CharField(
        label="Name", max_length=200, help_text="Such as HR, Finance or Product manuals."
    )
    mine = forms.BooleanField(
        label="Make me its owner",
        required=False,
        initial=True,
        help_text="Without a grant nobody sees the collection, not even you. Further grants are set on the next page.",
    )


@page("collections/", name="collections", roles=ROLES)
def collections(request: HttpRequest) -> HttpResponseBase:
    """List and find collections."""
    text = request.GET.get("q", "").strip()
    found = [c for c in list_collections_as_custodian() if text.lower() in c.name.lower()]
    rows = page_of(request, found)
    lines = [(c, grant_lines(collection_grants(collection_id=c.id))) for c in rows]
    return show(
        request,
        "collections.html",
        title="Collections",
        rows=rows,
        lines=lines,
        q=text,
        filtered=bool(text),
    )


@page("collections/new/", name="collection_new", roles=ROLES, methods=("GET", "POST"))
def collection_new(request: HttpRequest) -> HttpResponseBase:
    """Create a collection."""
    form = CollectionForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        own = [GrantSpec(PrincipalRef(member_id=here(request).member_id), "owner")]
        try:
            made = create_collection(
                name=form.cleaned_data["name"], grants=own if form.cleaned_data["mine"] else []
            )
        except CollectionNameTaken:
            form.refuse("name", "There is a collection of this name already.")
        else:
            record("collection.created", object_id=made)
            messages.success(request, "The collection is created. Say who may read it.")
            return to("collection", collection_id=made)
    return show(
        request, "form.html", title="New collection", trail=[("Collections", reverse("admin:collections"))],
        form=form, submit="Create collection", cancel=reverse("admin:collections"), refused=form.is_bound,
    )  # fmt: skip


@page(
    "collections/<ambit_collection:collection_id>/",
    name="collection",
    roles=ROLES,
    methods=("GET", "POST"),
)
def collection(request: HttpRequest, collection_id: UUID) -> HttpResponseBase:
    """Show a collection and edit its grants."""
    found = get_collection_as_custodian(collection_id=collection_id)
    if request.method == "POST":
        _save_grants(request, collection_id)
        return to("collection", collection_id=collection_id)
    grants = collection_grants(collection_id=collection_id)
    readers = readers_of(audience_id=found.audience_id)
    documents = list_documents_as_custodian(
        after=None, limit=SHOWN + 1, filters=Filters(collection_ids=(collection_id,))
    )
    record("document.records_listed", document_ids=[d.id for d in documents[:SHOWN]])
    return show(
        request, "collection.html", title=found.name, collection=found,
        trail=[("Collections", reverse("admin:collections"))],
        editor=editor(grant_lines(grants), principal_suggestions()),
        readers=readers_with_ways(readers=readers, grants=grants),
        documents=documents[:SHOWN], more=len(documents) > SHOWN,
    )  # fmt: skip


def _save_grants(request: HttpRequest, collection_id: UUID) -> None:
    try:
        set_collection_grants(collection_id=collection_id, grants=read_grants(request.POST))
    except GrantsRefused as error:
        messages.error(request, error.sentence)
    except UnknownPrincipal:
        messages.error(request, GONE)
    else:
        record("collection.grants_changed", object_id=collection_id)
        messages.success(request, "The grants are saved; in force with the next search.")
