"""Read collections, grants and roles."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from ambit.access.models import Collection, Grant
from ambit.access.types import ROLE_ORDER, CollectionView, GrantSpec, PrincipalRef, RoleName
from ambit.corpus.types import Clearance
from tenants.scope import current_tenant_id

_MINE = """
WITH RECURSIVE mine (group_id) AS (
    SELECT group_id FROM tenants_groupmember WHERE tenant_id = %(tenant)s AND member_id = %(member)s
  UNION
    SELECT gc.parent_id FROM tenants_groupchild gc JOIN mine ON gc.child_id = mine.group_id
    WHERE gc.tenant_id = %(tenant)s
)
"""
_MY_ROLES = (
    _MINE  # noqa: S608 - constants alone
    + """SELECT g.role FROM access_grant g
WHERE g.tenant_id = %(tenant)s
  AND (g.collection_id = %(collection)s OR g.document_id = %(document)s)
  AND (g.member_id = %(member)s OR g.group_id IN (SELECT group_id FROM mine)
       OR (g.member_id IS NULL AND g.group_id IS NULL))
  AND EXISTS (SELECT 1 FROM tenants_member m WHERE m.tenant_id = %(tenant)s
              AND m.id = %(member)s AND m.suspended_at IS NULL)
"""
)


class CollectionNotFound(LookupError):
    """There is no such collection, or none the caller may see: the two are not told apart."""


def get_collection(*, collection_id: UUID, clearance: Clearance) -> CollectionView:
    """Return a collection the clearance reaches; raise CollectionNotFound."""
    found = Collection.objects.filter(
        pk=collection_id, audience_id__in=clearance.audience_ids
    ).first()
    if found is None:
        raise CollectionNotFound(collection_id)
    return _view(found)


def get_collection_as_custodian(*, collection_id: UUID) -> CollectionView:
    """Return any collection of the tenant in scope, for its administrators; raise CollectionNotFound."""
    found = Collection.objects.filter(pk=collection_id).first()
    if found is None:
        raise CollectionNotFound(collection_id)
    return _view(found)


def list_collections(*, clearance: Clearance) -> list[CollectionView]:
    """Return the collections whose audience the clearance holds, by name."""
    found = Collection.objects.filter(audience_id__in=clearance.audience_ids).order_by("name", "id")
    return [_view(c) for c in found]


def list_collections_as_custodian() -> list[CollectionView]:
    """Return every collection of the tenant in scope, for its administrators."""
    return [_view(c) for c in Collection.objects.order_by("name", "id")]


def collection_grants(*, collection_id: UUID) -> tuple[GrantSpec, ...]:
    """Return a collection's grants."""
    return _grants(Grant.objects.filter(collection_id=collection_id).order_by("id"))


def document_grants(*, document_id: UUID) -> tuple[GrantSpec, ...]:
    """Return a document's own grants; empty when it has the collection's."""
    return _grants(Grant.objects.filter(document_id=document_id).order_by("id"))


def role_on_collection(*, member_id: UUID, collection_id: UUID) -> RoleName | None:
    """Return the highest role a member has on a collection; None when there is none."""
    return _highest(member_id=member_id, collection_id=collection_id, document_id=None)


def groups_of(*, member_id: UUID) -> set[UUID]:
    """Return the groups a member is in, directly or through groups inside them."""
    with connection.cursor() as cursor:
        cursor.execute(
            _MINE + "SELECT group_id FROM mine",  # noqa: S608 - constants alone
            {"tenant": current_tenant_id(), "member": member_id},
        )
        return {row[0] for row in cursor.fetchall()}


def role_on_document(
    *, member_id: UUID, document_id: UUID, collection_id: UUID, own_grants: bool
) -> RoleName | None:
    """Return the highest role on a document: by its own grants where it has any, else the collection's."""
    if own_grants:
        return _highest(member_id=member_id, collection_id=None, document_id=document_id)
    return _highest(member_id=member_id, collection_id=collection_id, document_id=None)


def _highest(
    *, member_id: UUID, collection_id: UUID | None, document_id: UUID | None
) -> RoleName | None:
    values = {
        "tenant": current_tenant_id(),
        "member": member_id,
        "collection": collection_id,
        "document": document_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MY_ROLES, values)
        roles: list[RoleName] = [role for (role,) in cursor.fetchall()]
    return max(roles, key=lambda role: ROLE_ORDER[role], default=None)


def _grants(rows: Iterable[Grant]) -> tuple[GrantSpec, ...]:
    return tuple(
        GrantSpec(
            principal=PrincipalRef(member_id=g.member_id, group_id=g.group_id),
            role=g.role,  # type: ignore[arg-type]  # the column's choices are RoleName
        )
        for g in rows
    )


def _view(collection: Collection) -> CollectionView:
    return CollectionView(
        id=collection.pk,
        name=collection.name,
        audience_id=collection.audience_id,
        created_at=collection.created_at,
    )
