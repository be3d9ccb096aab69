"""An office whose members see different parts of what an adapter was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import AdapterNotFound, adapters_for, usable_adapter
from tests.database.adapting import BASE
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_group,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)


@dataclass(frozen=True, slots=True)
class Office:
    """Anna owns two collections; Ben reads the first through a group, the second himself; Cleo only the first."""

    tenant_id: UUID
    anna: UUID
    ben: UUID
    cleo: UUID
    group: UUID
    first: UUID
    second: UUID
    letters: UUID
    wages: UUID

    def may(self, member_id: UUID, adapter_id: UUID) -> bool:
        """Say whether a member may use an adapter now, by both ways of asking."""
        with working(self.tenant_id):
            clearance = clearance_for(member_id=member_id)
            listed = adapter_id in {one.id for one in adapters_for(clearance=clearance)}
            try:
                served = usable_adapter(adapter_id=adapter_id, clearance=clearance)
            except AdapterNotFound:
                assert not listed
                return False
            assert listed
            assert (served.id, served.base) == (adapter_id, BASE)
            return True


def make_office() -> Office:
    """Make a tenant with three administrators, two collections and a document in each."""
    tenant_id = make_tenant()
    with working(tenant_id):
        anna, ben, cleo = (make_member(name, role="admin") for name in ("anna", "ben", "cleo"))
        group = make_group(members=[ben, cleo])
        owner = grant("owner", member=anna)
        first = make_collection(owner, grant("reader", group=group))
        second = make_collection(owner, grant("reader", member=ben))

    def document(collection_id: UUID) -> UUID:
        return publish(
            tenant_id=tenant_id,
            by=anna,
            collection_id=collection_id,
            passages=[Passage(f"Dear {uuid4().hex}.", unit(0))],
        )

    return Office(
        tenant_id, anna, ben, cleo, group, first, second, document(first), document(second)
    )
