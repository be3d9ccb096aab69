"""A tenant to search in, and a way to ask as its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ambit.access.clearance import clearance_for
from ambit.access.types import GrantSpec
from ambit.corpus.search import search
from ambit.corpus.types import UNFILTERED, Filters, Mode
from ambit.corpus.types import Passage as Found
from tenants.scope import tenant_scope
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    working,
)


@dataclass(frozen=True, slots=True)
class Office:
    """A tenant with a collection that Alice owns and Bob reads, and Carol, who has no grant."""

    tenant_id: UUID
    alice: UUID
    bob: UUID
    carol: UUID
    collection_id: UUID

    def publish(
        self,
        *passages: Passage,
        collection_id: UUID | None = None,
        grants: Sequence[GrantSpec] | None = None,
        metadata: dict[str, Any] | None = None,
        language: str | None = None,
    ) -> UUID:
        """Publish one document as Alice."""
        return publish(
            tenant_id=self.tenant_id,
            by=self.alice,
            collection_id=collection_id or self.collection_id,
            passages=passages,
            grants=grants,
            metadata=metadata,
            language=language,
        )

    def ask(
        self,
        member_id: UUID,
        query: str = "",
        embedding: Any = None,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        filters: Filters = UNFILTERED,
    ) -> list[Found]:
        """Search as a member."""
        with tenant_scope(self.tenant_id, member_id=member_id):
            return search(
                clearance=clearance_for(member_id=member_id),
                query=query,
                embedding=embedding,
                k=k,
                mode=mode,
                filters=filters,
            )


def make_office() -> Office:
    """Return a fresh tenant."""
    tenant_id = make_tenant()
    with working(tenant_id):
        alice, bob, carol = (make_member(name) for name in ("alice", "bob", "carol"))
        collection_id = make_collection(grant("owner", member=alice), grant("reader", member=bob))
    return Office(tenant_id, alice, bob, carol, collection_id)
