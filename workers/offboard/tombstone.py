"""Step 2 of 6. Write outside the database that the tenant ended, so that no backup brings it back."""

from __future__ import annotations

from ambit.erasure.tombstones import tombstone_of_tenant, write_tombstone
from ambit.jobs.services import Claim, keep
from tenants.scope import tenant_scope


def lay_tombstone(held: Claim) -> None:
    """Write a tenant's tombstone; raise TombstoneBlocked, having written nothing, and ClaimLost."""
    with tenant_scope(held.tenant_id):
        keep(held)
        tombstone = tombstone_of_tenant()
    write_tombstone(tombstone)
