"""Count what a model did for an answer, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from ambit.answers.generate import Spent, as_usage
from ambit.answers.types import Usage
from ambit.metering.services import close_use
from ambit.metering.turns import turn
from ambit.metering.types import Outcome
from tenants.scope import tenant_scope


@asynccontextmanager
async def turn_of(tenant_id: UUID) -> AsyncIterator[int]:
    """Wait for the tenant's turn at the model; what quotes needs none."""
    if not settings.AMBIT_VLLM_URL:
        yield 0
        return
    async with turn(tenant_id) as place:
        yield place.priority


async def close(tenant_id: UUID, use_id: UUID, spent: Spent, outcome: Outcome) -> None:
    """Count what was used, also where whoever asked has gone."""

    def write() -> None:
        usage = spent.usage
        try:
            with tenant_scope(tenant_id):
                count(use_id, usage=as_usage(usage), exact=usage.exact, outcome=outcome)
        finally:
            connection.close()

    await asyncio.shield(sync_to_async(write)())


def count(use_id: UUID, *, usage: Usage, exact: bool, outcome: Outcome) -> None:
    """Close a use, in the tenant's scope; what is closed stays as it was closed."""
    close_use(
        use_id,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        exact=exact,
        outcome=outcome,
    )
