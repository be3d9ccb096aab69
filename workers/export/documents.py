"""What is told of one document, and which of its files go in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from ambit.access.queries import (
    collection_grants,
    document_grants,
    get_collection_as_custodian,
    groups_of,
)
from ambit.access.types import PrincipalRef
from ambit.corpus.disclosure import DisclosedDocument, DisclosedVersion
from ambit.export.types import Order
from tenants.ids import public_id
from workers.export.deeds import Deeds
from workers.export.screen import Screen
from workers.export.types import Found, Original

LEFT_OUT = (
    "The document is about other people too, whose rights a copy must not touch (Art. 15(4) GDPR)."
    " You may ask for it all the same: the privacy officer decides."
)
DERIVED = (
    "Passages of the text, sealed; for each a vector (numbers made by the model that is named, for"
    " search by meaning) and keyed hashes of its words (for search by text). They are destroyed with"
    " the document and say nothing that the original does not."
)
NAME_CHARACTERS = 80


def tell_document(
    document: DisclosedDocument, *, order: Order, found: Found, screen: Screen, deeds: Deeds
) -> dict[str, Any]:
    """Return what is told of a document; never who else it declares."""
    is_shared = document.id in found.others
    member = found.person.member
    originals = list(original_of(document, order=order, found=found))
    return {
        "id": public_id("document", document.id),
        "title": screen.text(document.title),
        "external_id": screen.value(document.external_id),
        "metadata": screen.value(document.metadata),
        "collection": screen.text(
            get_collection_as_custodian(collection_id=document.collection_id).name
        ),
        "declares_you_by": sorted({k for k, _ in document.declares & set(found.person.declared)}),
        "also_about_others": is_shared,
        "restricted": document.withheld,
        "created_at": document.created_at.isoformat(),
        "updated_at": document.updated_at.isoformat(),
        "uploaded_by_you": member is not None and document.created_by_id == member.id,
        "versions": [_version(v, screen) for v in document.versions],
        "derived": {
            "passages": document.n_passages,
            "vectors": document.n_vectors,
            "vector_model": settings.AMBIT_EMBED_MODEL if document.n_vectors else None,
            "keyed_word_indexes": document.n_word_indexes,
            "what_that_is": DERIVED,
        },
        "readable_by": list(_readers(document, found)),
        "recipients": deeds.recipients(document.id),
        "originals": [one.path for one in originals],
        "originals_left_out": LEFT_OUT if is_shared and not order.include_shared else None,
    }


def original_of(document: DisclosedDocument, *, order: Order, found: Found) -> Iterator[Original]:
    """Yield the files of a document that go in: none of one that is about others, unless it was decided."""
    if document.id in found.others and not order.include_shared:
        return
    for version in document.versions:
        if version.has_original:
            path = f"originals/{public_id('document', document.id)}-v{version.number}{_ending(version)}"
            yield Original(path, document.id, version.id)


def _ending(version: DisclosedVersion) -> str:
    """Return the ending of a file's name; the rest of the name may be about anybody."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", version.file_name[-NAME_CHARACTERS:])
    return found[0].lower() if found else ""


def _version(version: DisclosedVersion, screen: Screen) -> dict[str, Any]:
    return {
        "number": version.number,
        "state": version.state,
        "file_name": screen.text(version.file_name),
        "media_type": version.media_type,
        "language": version.language or None,
        "bytes": version.n_bytes,
        "pages": version.n_pages,
        "received_at": version.received_at.isoformat(),
    }


def _readers(document: DisclosedDocument, found: Found) -> Iterator[dict[str, Any]]:
    """Yield who may read a document, by role and kind; nobody is named."""
    grants = (
        document_grants(document_id=document.id)
        if document.own_grants
        else collection_grants(collection_id=document.collection_id)
    )
    member = found.person.member
    groups = groups_of(member_id=member.id) if member else set()
    for grant in grants:
        who = _who(grant.principal, found=found, in_groups=groups)
        yield {"role": grant.role, "who": who}


def _who(principal: PrincipalRef, *, found: Found, in_groups: set[Any]) -> str:
    member = found.person.member
    if principal.member_id is not None:
        mine = member is not None and principal.member_id == member.id
        return "you" if mine else "another member"
    if principal.group_id is not None:
        return "a group that you are in" if principal.group_id in in_groups else "a group"
    return "every member"
