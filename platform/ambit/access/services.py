"""Write collections with their audiences, and grants; audiences of documents: ambit.access.audiences."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction

from ambit.access.audiences import check_principals, write_readers
from ambit.access.models import Audience, AudiencePrincipal, Collection, Grant
from ambit.access.queries import CollectionNotFound
from ambit.access.types import GrantSpec, PrincipalRef


class CollectionNameTaken(ValueError):
    """The tenant has a collection of this name."""


def create_collection(*, name: str, grants: Sequence[GrantSpec]) -> UUID:
    """Create a collection with its audience; raise UnknownPrincipal, CollectionNameTaken."""
    check_principals(grants)
    audience = Audience.objects.create()
    try:
        with transaction.atomic():
            collection = Collection.objects.create(name=name, audience_id=audience.pk)
    except IntegrityError as error:
        raise CollectionNameTaken(name) from error
    _write_grants(grants, collection_id=collection.pk)
    write_readers(audience.pk, grants)
    return collection.pk


def set_collection_grants(*, collection_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Replace a collection's grants; its audience is edited in place by what differs, no document is touched."""
    check_principals(grants)
    collection = Collection.objects.select_for_update().filter(pk=collection_id).first()
    if collection is None:
        raise CollectionNotFound(collection_id)
    Grant.objects.filter(collection_id=collection_id).delete()
    _write_grants(grants, collection_id=collection_id)
    _edit_readers(collection.audience_id, grants)


def write_document_grants(*, document_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Make a locked document's grants these: what differs is written; its audience is the caller's to move."""
    had = {
        (PrincipalRef(g.member_id, g.group_id), g.role): g.pk
        for g in Grant.objects.filter(document_id=document_id)
    }
    gone = had.keys() - {(g.principal, g.role) for g in grants}
    Grant.objects.filter(pk__in=[had[one] for one in gone]).delete()
    new = [g for g in grants if (g.principal, g.role) not in had]
    _write_grants(new, document_id=document_id)


def plant_canary_collection(*, collection_id: UUID, audience_id: UUID) -> None:
    """Make the start-up check's collection, which nobody may read."""
    Audience.objects.get_or_create(id=audience_id)
    Collection.objects.get_or_create(
        id=collection_id, defaults={"name": "canary", "audience_id": audience_id}
    )


def _edit_readers(audience_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Take away who is named no more, and add who is new."""
    had = {
        PrincipalRef(p.member_id, p.group_id): p.pk
        for p in AudiencePrincipal.objects.filter(audience_id=audience_id)
    }
    gone = had.keys() - {g.principal for g in grants}
    if gone:
        AudiencePrincipal.objects.filter(pk__in=[had[one] for one in gone]).delete()
    write_readers(audience_id, [g for g in grants if g.principal not in had])


def _write_grants(
    grants: Sequence[GrantSpec],
    *,
    collection_id: UUID | None = None,
    document_id: UUID | None = None,
) -> None:
    Grant.objects.bulk_create(
        Grant(
            member_id=grant.principal.member_id,
            group_id=grant.principal.group_id,
            role=grant.role,
            collection_id=collection_id,
            document_id=document_id,
        )
        for grant in grants
    )
