"""Who can see a document, computed by the clearance that searches use, with the way explained."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.access.clearance import readers_of
from ambit.access.queries import collection_grants, document_grants, get_collection_as_custodian
from ambit.admin.page import here, page, show
from ambit.admin.paths import readers_with_ways
from ambit.corpus.queries import get_document_as_custodian
from tenants.audit import record


@page(
    "documents/<ambit_document:document_id>/readers/",
    name="document_readers",
    roles=("admin", "privacy_officer"),
)
def document_readers(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """List the members who may read a document right now, and why."""
    found = get_document_as_custodian(document_id=document_id)
    record("document.readers_viewed", object_id=document_id, document_ids=[document_id])
    grants = (
        document_grants(document_id=document_id)
        if found.own_grants
        else collection_grants(collection_id=found.collection_id)
    )
    gone = found.hidden_at is not None or found.erased_at is not None
    readers = set() if gone else readers_of(audience_id=found.audience_id)
    trail = [
        ("Documents", reverse("admin:documents")),
        (found.title, reverse("admin:document", args=[document_id])),
    ]
    return show(
        request, "readers.html", title="Who can see this document",
        trail=trail if here(request).role == "admin" else [("What a member can see", reverse("admin:sight"))],
        document=found, gone=gone, readers=readers_with_ways(readers=readers, grants=grants),
        collection=get_collection_as_custodian(collection_id=found.collection_id),
    )  # fmt: skip
