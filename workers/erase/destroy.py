"""Step 3 of 6. Destroy, holding by holding; what is destroyed already is passed over.

Each part of each holding is a transaction of its own under the job's lease and one lock per tenant,
so that a killed worker loses at most the part it was at, and two workers never cross.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import connection

from ambit.erasure.cases import note_destroyed
from ambit.erasure.disk import shred, unmark
from ambit.erasure.registry import HOLDINGS
from ambit.jobs.services import Claim, keep
from ambit.notices.services import announce
from tenants.audit import record
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

PART_DOCUMENTS = 200


def destroy(held: Claim, scope: Scope, *, case_id: UUID | None, first: Scope | None = None) -> None:
    """Destroy what the scope names, and note it for its case where it has one.

    first: what of it goes already, where the rest must wait; then nothing is said to be shredded. A holding out of
    reach is passed over: the second look will find that it did not answer. Raises ClaimLost when another worker
    has the job by now.
    """
    destroyed = {}
    # An empty one is not none: then nothing goes yet.
    now = scope if first is None else first
    for holding in HOLDINGS:
        try:
            destroyed[holding.name] = _destroy_in(held, scope, holding, case_id, now)
        except HoldingFailed:
            logger.warning("erase.holding_out_of_reach", extra={"holding": holding.name})
    counts = {name: n for name, n in destroyed.items() if n}
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        if first is not None:
            if counts:
                record("erasure.begun", object_id=held.object_id, counts=counts)
            return
        if case_id is not None and not shred(case_id) and not any(destroyed.values()):
            # Back from waiting for its scrub: nothing was done, and nothing is said again.
            return
        if case_id is None and len(destroyed) == len(HOLDINGS):
            # Of a case they are told once a second look found nothing left.
            announce("document.erased", object_id=held.object_id, document_ids=scope.document_ids)
        record(
            "erasure.shredded" if case_id is not None else "document.destroyed",
            object_id=held.object_id,
            document_ids=scope.document_ids,
            counts=counts,
        )


def _destroy_in(
    held: Claim, scope: Scope, holding: Holding, case_id: UUID | None, now: Scope
) -> int:
    before = after = 0
    parts = list(now.parts(n_documents=PART_DOCUMENTS))
    for part in parts:
        with tenant_scope(held.tenant_id, custody=True):
            keep(held)
            _one_at_a_time(part)
            if part is parts[0]:
                before = holding.find(scope)
            # Also where nothing is found: some leave behind what keeps a late worker out.
            holding.destroy(part)
            # Behind the documents' locks, as whoever places a hold takes them.
            if part is parts[0] and before and case_id is not None:
                unmark(case_id)
            if part is parts[-1]:
                after = holding.find(scope)
                if case_id is not None:
                    note_destroyed(case_id, name=holding.name, still_there=after)
    return before - after


def _one_at_a_time(scope: Scope) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"ambit.erase.{scope.tenant_id}"],
        )
