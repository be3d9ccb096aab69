"""Write collections, grants and the audiences that follow from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction

from ambit.access.models import Audience, AudiencePrincipal, Collection, Grant
from ambit.access.queries import CollectionNotFound
from ambit.access.types import GrantSpec, PrincipalRef
from tenants.models import Group, Member


class UnknownPrincipal(LookupError):
    """A grant names a member or group that this tenant does not have; nothing was changed."""

    def __init__(self, principals: Sequence[PrincipalRef]) -> None:
        super().__init__(f"{len(principals)} unknown principals")
        self.principals = tuple(principals)


class DuplicatePrincipal(ValueError):
    """A list of grants names the same principal twice; nothing was changed."""


class CollectionNameTaken(ValueError):
    """The tenant has a collection of this name."""


def create_collection(*, name: str, grants: Sequence[GrantSpec]) -> UUID:
    """Create a collection with its audience; raise UnknownPrincipal, CollectionNameTaken."""
    _check_principals(grants)
    audience = Audience.objects.create()
    try:
        with transaction.atomic():
            collection = Collection.objects.create(name=name, audience_id=audience.pk)
    except IntegrityError as error:
        raise CollectionNameTaken(name) from error
    _write_grants(grants, collection_id=collection.pk)
    _write_readers(audience.pk, grants)
    return collection.pk


def set_collection_grants(*, collection_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Replace a collection's grants; its audience is edited in place, no document is touched."""
    _check_principals(grants)
    collection = Collection.objects.select_for_update().filter(pk=collection_id).first()
    if collection is None:
        raise CollectionNotFound(collection_id)
    Grant.objects.filter(collection_id=collection_id).delete()
    _write_grants(grants, collection_id=collection_id)
    AudiencePrincipal.objects.filter(audience_id=collection.audience_id).delete()
    _write_readers(collection.audience_id, grants)


def audience_for(*, grants: Sequence[GrantSpec]) -> UUID:
    """Return the interned audience of a document's own grants, made when there is none yet."""
    _check_principals(grants)
    readers = sorted({_sort_key(g.principal) for g in grants})
    digest = hashlib.sha256("|".join(readers).encode()).hexdigest()
    audience, made = Audience.objects.get_or_create(digest=digest)
    if made:
        _write_readers(audience.pk, grants)
    return audience.pk


def write_document_grants(*, document_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Replace the grants recorded for a document; its audience is the caller's to move."""
    Grant.objects.filter(document_id=document_id).delete()
    _write_grants(grants, document_id=document_id)


def plant_canary_collection(*, collection_id: UUID, audience_id: UUID) -> None:
    """Make the start-up check's collection, which nobody may read."""
    Audience.objects.get_or_create(id=audience_id)
    Collection.objects.get_or_create(
        id=collection_id, defaults={"name": "canary", "audience_id": audience_id}
    )


def _check_principals(grants: Sequence[GrantSpec]) -> None:
    principals = [g.principal for g in grants]
    if len(set(principals)) != len(principals):
        raise DuplicatePrincipal("a principal is named twice")
    members = {p.member_id for p in principals if p.member_id}
    groups = {p.group_id for p in principals if p.group_id}
    found = set(Member.objects.filter(pk__in=members).values_list("pk", flat=True))
    found |= set(Group.objects.filter(pk__in=groups).values_list("pk", flat=True))
    unknown = [p for p in principals if (p.member_id or p.group_id or None) not in {*found, None}]
    if unknown:
        raise UnknownPrincipal(unknown)


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


def _write_readers(audience_id: UUID, grants: Sequence[GrantSpec]) -> None:
    AudiencePrincipal.objects.bulk_create(
        AudiencePrincipal(
            audience_id=audience_id,
            member_id=principal.member_id,
            group_id=principal.group_id,
        )
        for principal in sorted({g.principal for g in grants}, key=_sort_key)
    )


def _sort_key(principal: PrincipalRef) -> str:
    if principal.member_id:
        return f"member:{principal.member_id}"
    return f"group:{principal.group_id}" if principal.group_id else "tenant"
