"""Count what a model did for an answer, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from django.conf import settings
from django.db import connection

from ambit.answers.types import Usage
from ambit.metering.services import close_use
from ambit.metering.turns import turn
from ambit.metering.types import Outcome
from tenants.scope import tenant_scope
from tenants.steps import in_step

# Tokens, and whether the model's server counted them.
Counted = tuple[Usage, bool]
NOTHING: Counted = (Usage(), True)


@asynccontextmanager
async def turn_of(tenant_id: UUID) -> AsyncIterator[int]:
    """Wait for the tenant's turn at the model; what quotes needs none."""
    if not settings.AMBIT_VLLM_URL:
        yield 0
        return
    async with turn(tenant_id) as place:
        yield place.priority


async def close(tenant_id: UUID, use_id: UUID, counted: Counted, *, outcome: Outcome) -> None:
    """Count what was used, also where whoever asked has gone."""

    def write() -> None:
        close_now(tenant_id, use_id, counted, outcome=outcome)

    await asyncio.shield(in_step(write, of=tenant_id, patient=True))


def close_now(tenant_id: UUID, use_id: UUID, counted: Counted, *, outcome: Outcome) -> None:
    """Count what was used, in a transaction of its own."""
    try:
        with tenant_scope(tenant_id):
            count(use_id, counted, outcome=outcome)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def count(use_id: UUID, counted: Counted, *, outcome: Outcome) -> None:
    """Close a use, in the tenant's scope; what is closed stays as it was closed."""
    usage, exact = counted
    close_use(
        use_id,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        exact=exact,
        outcome=outcome,
    )
