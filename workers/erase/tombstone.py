"""Step 2 of 6. Write outside the database what is about to be destroyed, so that no backup brings it back."""

from __future__ import annotations

from uuid import UUID

from ambit.erasure.cases import wait_for
from ambit.erasure.tombstones import (
    WORDS,
    TombstoneBlocked,
    tombstone_of,
    tombstone_of_document,
    write_tombstone,
)
from ambit.erasure.types import Case
from ambit.jobs.services import Claim, keep
from tenants.scope import tenant_scope


def lay_tombstone(held: Claim, case: Case) -> None:
    """Write a case's tombstone; raise TombstoneBlocked, which the case remembers, and ClaimLost."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        tombstone = tombstone_of(case)
    try:
        write_tombstone(tombstone)
    except TombstoneBlocked as blocked:
        _note_waiting(held, case.id, blocked.reason)
        raise
    if case.waits_for in WORDS:
        _note_waiting(held, case.id, "")


def lay_tombstone_of_document(held: Claim) -> None:
    """Write a deleted document's tombstone; raise TombstoneBlocked, ClaimLost."""
    with tenant_scope(held.tenant_id):
        keep(held)
        tombstone = tombstone_of_document(held.object_id)
    write_tombstone(tombstone)


def _note_waiting(held: Claim, case_id: UUID, reason: str) -> None:
    with tenant_scope(held.tenant_id):
        keep(held)
        wait_for(case_id, reason)
