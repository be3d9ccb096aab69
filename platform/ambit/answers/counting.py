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

NOTHING = Usage()


@asynccontextmanager
async def turn_of(tenant_id: UUID) -> AsyncIterator[int]:
    """Wait for the tenant's turn at the model; what quotes needs none."""
    if not settings.AMBIT_VLLM_URL:
        yield 0
        return
    async with turn(tenant_id) as place:
        yield place.priority


async def close(tenant_id: UUID, use_id: UUID, usage: Usage, *, outcome: Outcome) -> None:
    """Count what was used, also where whoever asked has gone."""

    def write() -> None:
        close_now(tenant_id, use_id, usage, outcome=outcome)

    await asyncio.shield(in_step(write, of=tenant_id, patient=True))


def close_now(tenant_id: UUID, use_id: UUID, usage: Usage, *, outcome: Outcome) -> None:
    """Count what was used, in a transaction of its own."""
    try:
        with tenant_scope(tenant_id):
            count(use_id, usage, outcome=outcome)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def count(use_id: UUID, usage: Usage, *, outcome: Outcome) -> None:
    """Close a use, in the tenant's scope; what is closed stays as it was closed."""
    close_use(use_id, **usage.counts, exact=usage.exact, outcome=outcome)
