"""Collections: sets of documents that share grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access import documents as as_member
from ambit.access import queries, services
from ambit.access.clearance import clearance_for
from ambit.access.documents import NotAllowed
from ambit.access.types import CollectionView as Collection
from ambit.api.bodies import FormList, Input, PublicId, Text
from ambit.api.pagination import page_of_all
from ambit.api.permissions import Policy
from ambit.api.principals import (
    MAX_GRANTS,
    GrantOutput,
    GrantShape,
    GrantsInput,
    resolve_grants,
    shown_grants,
)
from ambit.api.shapes import Output, PageQuery, page_shape
from ambit.api.views import AmbitView, located
from tenants.audit import record
from tenants.ids import public_id

READS = Policy("collections", needs_member=False)
CUSTODIANS = Policy("collections", roles=frozenset({"admin"}), needs_member=False)


class CollectionInput(Input):
    """A collection to add."""

    name = Text(max_length=200)
    grants = FormList(child=GrantShape(), required=False, max_length=MAX_GRANTS, default=list)


class CollectionOutput(Output):
    """A collection."""

    id = PublicId("collection")
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    grants = GrantOutput(
        many=True, allow_null=True, help_text="For owners and administrators; null for others."
    )


CollectionPage = page_shape("CollectionPage", CollectionOutput(many=True))


class CollectionBase(AmbitView):
    """What both views of collections share."""

    def is_custodian(self) -> bool:
        """Say whether the caller sees every collection: a service acting for nobody, or an administrator."""
        return self.caller is not None and (
            self.caller.member_id is None or self.caller.role == "admin"
        )

    def rendered(self, collection: Collection) -> dict[str, Any]:
        """Return a collection's body, with its grants for those who may change them."""
        grants = None
        if self.is_custodian() or self._owns(collection.id):
            grants = shown_grants(queries.collection_grants(collection_id=collection.id))
        return {
            "id": public_id("collection", collection.id),
            "name": collection.name,
            "created_at": serializers.DateTimeField().to_representation(collection.created_at),
            "grants": grants,
        }

    def one(self, collection_id: UUID) -> Collection:
        """Return a collection the caller sees; raise CollectionNotFound."""
        if self.is_custodian():
            return queries.get_collection_as_custodian(collection_id=collection_id)
        clearance = clearance_for(member_id=self.acting_member())
        return queries.get_collection(collection_id=collection_id, clearance=clearance)

    def _owns(self, collection_id: UUID) -> bool:
        role = queries.role_on_collection(
            member_id=self.acting_member(), collection_id=collection_id
        )
        return role == "owner"


class CollectionsView(CollectionBase):
    """All collections the caller sees."""

    reads = "collection.listed"
    policies = {"GET": READS, "POST": CUSTODIANS}
    makes = "collection"

    @extend_schema(parameters=[PageQuery], responses=CollectionPage)
    def get(self, request: Request) -> Response:
        """List collections by name."""
        asked = self.query(PageQuery)
        if self.is_custodian():
            found = queries.list_collections_as_custodian()
        else:
            found = queries.list_collections(
                clearance=clearance_for(member_id=self.acting_member())
            )
        page = page_of_all(
            found, cursor=asked.get("cursor"), limit=asked["limit"], id_of=lambda c: c.id
        )
        return Response({"results": [self.rendered(c) for c in page.items], "next": page.next})

    @extend_schema(request=CollectionInput, responses={201: CollectionOutput})
    def post(self, request: Request) -> Response:
        """Add a collection; without grants nobody reads it."""
        asked = self.body(CollectionInput)
        collection_id = services.create_collection(
            name=asked["name"], grants=resolve_grants(asked["grants"])
        )
        record("collection.created", object_id=collection_id)
        return self.created([collection_id])

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the collection made."""
        path = f"/v1/collections/{public_id('collection', object_ids[0])}"
        return located(self.rendered(self.one(object_ids[0])), path, status=status)


class CollectionView(CollectionBase):
    """One collection."""

    reads = "collection.read"
    policies = {"GET": READS}

    @extend_schema(responses=CollectionOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a collection."""
        return Response(self.rendered(self.one(self.id_in_path("collection"))))


class CollectionGrantsView(CollectionBase):
    """Who may do what with a collection's documents."""

    policies = {"PUT": READS}

    @extend_schema(request=GrantsInput, responses=CollectionOutput)
    def put(self, request: Request, id: str) -> Response:
        """Replace a collection's grants: in force with the next statement, for all its documents."""
        collection_id = self.id_in_path("collection")
        collection = self.one(collection_id)
        if not self.is_custodian() and not self._owns(collection_id):
            raise NotAllowed("owner")
        grants = resolve_grants(self.body(GrantsInput)["grants"])
        if self.is_custodian():
            services.set_collection_grants(collection_id=collection_id, grants=grants)
            record("collection.grants_changed", object_id=collection_id)
        else:
            as_member.set_collection_grants(
                clearance=clearance_for(member_id=self.acting_member()),
                collection_id=collection_id,
                grants=grants,
            )
        return Response(self.rendered(collection))
