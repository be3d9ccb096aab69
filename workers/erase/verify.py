"""Step 3 of 4. Look again, by another way than the one that found, and change nothing.

Knows nothing of finding or destroying: it asks each holding what remains, and then looks for the
documents as all readers of the tenant together would.
"""

from __future__ import annotations

import logging

from ambit.access.holdings import count_retrievable
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Remaining
from ambit.jobs.services import Claim, keep
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

logger = logging.getLogger(__name__)


def verify(held: Claim, scope: Scope) -> Verdict:
    """Return what is left in each holding, and how many documents any reader still gets."""
    keep(held)
    with tenant_scope(held.tenant_id, custody=True):
        left = tuple(Remaining(h.name, _ask(h, scope)) for h in HOLDINGS)
    with tenant_scope(held.tenant_id):
        return Verdict(left, count_retrievable(scope))


def _ask(holding: Holding, scope: Scope) -> int | None:
    try:
        return holding.remains(scope)
    except HoldingFailed:
        logger.warning("erase.holding_does_not_answer", extra={"holding": holding.name})
        return None
