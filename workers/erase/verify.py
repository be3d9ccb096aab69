"""Step 5 of 6. Look again, by another way than the one that found, and change nothing.

Knows nothing of finding or destroying: it asks each holding what remains, and then looks for the
documents as all readers of the tenant together would.
"""

from __future__ import annotations

import logging
from uuid import UUID

from ambit.access.holdings import count_retrievable
from ambit.erasure.disk import FILES, mark_of
from ambit.erasure.position import read_position
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Remaining
from ambit.jobs.services import Claim, keep
from ambit.scrub.check import count_unscrubbed
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

logger = logging.getLogger(__name__)


def verify(held: Claim, scope: Scope, *, covered: Scope, case_id: UUID | None = None) -> Verdict:
    """Return what is left in each holding, and how many documents any reader still gets.

    covered: with what is under a hold, which must not be retrievable either. case_id: of the case whose
    remains on disk were to be scrubbed too.
    """
    keep(held)
    with tenant_scope(held.tenant_id, custody=True):
        left = tuple(Remaining(h.name, _ask(h, scope)) for h in HOLDINGS)
        mark = mark_of(case_id) if case_id is not None else None
        if mark is not None:
            left = (*left, Remaining(FILES, count_unscrubbed(mark)))
        position = read_position()
    with tenant_scope(held.tenant_id):
        return Verdict(left, count_retrievable(covered), position)


def _ask(holding: Holding, scope: Scope) -> int | None:
    try:
        return holding.remains(scope)
    except HoldingFailed:
        logger.warning("erase.holding_does_not_answer", extra={"holding": holding.name})
        return None
