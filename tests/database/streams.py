"""Answers being written, as the watch sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import connections

from ambit.access.clearance import clearance_for
from ambit.answers import watch
from ambit.answers.retrieve import still_visible
from ambit.answers.watch import revoked
from ambit.corpus.types import Passage as Found
from tenants.queries import get_tenant
from tests.database.revoking import Scene
from tests.database.worlds import working

# The epoch of an answer that was begun before the latest revocation: it looks at once.
LONG_AGO = -1


@dataclass(frozen=True)
class Stream:
    """An answer being written for a member, as the flow of answers begins one."""

    scene: Scene
    member_id: UUID
    passages: tuple[Found, ...]
    epoch: int
    # As a look that waits for whoever holds a document, which none of ours does.
    locking: bool = False

    def stands(self) -> bool:
        """Ask for the clearance again."""
        with working(self.scene.tenant_id):
            clearance = clearance_for(member_id=self.member_id)
            return still_visible(clearance=clearance, passages=self.passages, locking=self.locking)

    async def ends(self) -> float:
        """Return when it has to stop."""
        await revoked(self.stands, tenant_id=self.scene.tenant_id, epoch=self.epoch)
        return time.monotonic()


def begin(scene: Scene, member_id: UUID) -> Stream:
    """Prepare an answer: the epoch is read before the clearance."""
    with working(scene.tenant_id):
        epoch = get_tenant().salt_epoch
        passages = tuple(scene.office.ask(member_id, "harbor"))
    assert passages
    return Stream(scene, member_id, passages, epoch)


async def in_thread(do: Callable[[], object]) -> float:
    """Commit something as another process would; return when it was."""
    return await asyncio.to_thread(apart, do)


def apart(do: Callable[[], object]) -> float:
    """Commit something by a connection of its own, in a thread of its own; return when it was."""
    try:
        do()
        return time.monotonic()
    finally:
        connections.close_all()


def run(of: Callable[[], Awaitable[None]]) -> None:
    """Run a test's loop; no task and no poll may be left in the end."""

    async def whole() -> None:
        await of()
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert watch._WATCHES.get(asyncio.get_running_loop(), {}) == {}

    asyncio.run(whole(), debug=False)
