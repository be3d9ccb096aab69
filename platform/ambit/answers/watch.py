"""Stop what is being written once something is taken from its asker's reach: within two seconds of the commit.

One poll for each tenant and process reads the tenant's epoch, which every such commit raises (tenants/migrations/
0006_revocations.py), however many answers are being written. When it was raised, each of them asks for its own
clearance again. NEVER goes on in doubt: no answer from the database, an error or a fault of ours is a no.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary, WeakValueDictionary

from django.db import connection

from tenants.queries import standing_epoch
from tenants.scope import tenant_scope

T = TypeVar("T")
logger = logging.getLogger(__name__)

POLL_S = 0.5
# For so long the database may not answer before nothing is certain any more.
SILENT_S = 2.0
# But after an answer to which the loop itself came late, having sent nothing meanwhile, so long is left for the next.
SHORTEST_S = 0.5
# With a poll's wait, still within two seconds of the commit.
STANDS_S = 1.4
# Threads of their own: an answer written by quoting keeps the loop's for seconds, and a poll waits for no look.
_POLLS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ambit-watch-poll")
_LOOKS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ambit-watch-look")
# Of one tenant so many look at once: whatever its looks wait for, there are threads left for the others.
LOOKS_OF_ONE = 2
# A look ends by then in the database too: its thread and connection are others' turn.
LOOK_MS = 1000


class ReachLost(Exception):
    """The asker's reach no longer covers what was being made, or nobody knows whether it does."""


async def while_it_stands(
    work: Coroutine[None, None, T], *, stands: Callable[[], bool], tenant_id: UUID, epoch: int
) -> T:
    """Return what the work makes; once revoked() returns, cancel it, wait for its end and raise ReachLost."""
    made = asyncio.ensure_future(work)
    lost = asyncio.ensure_future(revoked(stands, tenant_id=tenant_id, epoch=epoch))
    try:
        await asyncio.wait({made, lost}, return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            return made.result()
        lost.result()
    finally:
        for task in (made, lost):
            task.cancel()
        await asyncio.gather(made, lost, return_exceptions=True)
    raise ReachLost


async def revoked(stands: Callable[[], bool], *, tenant_id: UUID, epoch: int) -> None:
    """Return once the asker's reach no longer covers what is being written; end it by cancelling this.

    stands: asks for the clearance again, in a transaction of its own and in a thread; False or an error ends the
    wait. epoch: the tenant's, read BEFORE the clearance that the answer is made with: read after it, a revocation
    between the two would go unseen. While it stays the same nothing is asked, however many answers begin.
    """
    with _watching(tenant_id) as watch:
        while (seen := await watch.later_than(epoch)) is not None:
            if not await _still(stands, tenant_id):
                return
            epoch = seen


async def _still(stands: Callable[[], bool], tenant_id: UUID) -> bool:
    try:
        looking = asyncio.ensure_future(_look(stands, tenant_id))
        return await _there_within(STANDS_S, looking) is True
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody said yes
        logger.warning("answers.reach_unknown", extra={"error": type(error).__name__})
        return False


async def _look(stands: Callable[[], bool], tenant_id: UUID) -> bool:
    """Look in a thread, once the tenant has one free: one that was given up is not free before it is done."""
    loop = asyncio.get_running_loop()
    of_all = _FREE.setdefault(loop, WeakValueDictionary())
    free = of_all.setdefault(tenant_id, asyncio.Semaphore(LOOKS_OF_ONE))
    await free.acquire()

    def give_back(_: Future[bool]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(free.release)

    looking = _LOOKS.submit(copy_context().run, _asked, stands)
    looking.add_done_callback(give_back)
    return await asyncio.wrap_future(looking)


# Kept by who looks or waits, and by the threads they gave up.
_FREE: WeakKeyDictionary[
    asyncio.AbstractEventLoop, WeakValueDictionary[UUID, asyncio.Semaphore]
] = WeakKeyDictionary()


class _Watch:
    """The poll of one tenant, and who waits for what it finds."""

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.n_streams = 0
        # None: it was never asked, or nothing is certain any more.
        self.epoch: int | None = None
        self.is_over = False
        self._waiting: set[asyncio.Future[None]] = set()
        # Without what the first asker's request knows: the poll is nobody's.
        self.task = asyncio.create_task(self._poll(), context=Context())

    async def later_than(self, epoch: int) -> int | None:
        """Return the tenant's epoch once it is a later one; None where nothing is certain any more."""
        while not self.is_over and (self.epoch is None or self.epoch <= epoch):
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        return None if self.is_over else self.epoch

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            heard = loop.time()
            while True:
                began = loop.time()
                asked = loop.run_in_executor(_POLLS, _epoch_of, self.tenant_id)
                try:
                    self.epoch = await _there_within(heard + SILENT_S - began, asked)
                    heard = max(began, loop.time() - SILENT_S + SHORTEST_S)
                except Exception as error:  # noqa: BLE001 - an outage, until it has lasted too long
                    logger.warning(
                        "answers.watch_unanswered", extra={"error": type(error).__name__}
                    )
                    if loop.time() >= heard + SILENT_S:
                        return
                else:
                    if self.epoch is None:
                        # The tenant was suspended, or is being off-boarded.
                        return
                    self._wake()
                due = max(loop.time(), min(began + POLL_S, heard + SILENT_S))
                await asyncio.sleep(due - loop.time())
                # By what the loop was late: it has sent nothing meanwhile.
                heard += max(0.0, loop.time() - due)
        finally:
            # Whyever it ends: who waits must not wait for nothing.
            self.is_over = True
            self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


_WATCHES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, _Watch]] = WeakKeyDictionary()


@contextmanager
def _watching(tenant_id: UUID) -> Iterator[_Watch]:
    """Share the tenant's poll; the last to leave ends it."""
    watches = _WATCHES.setdefault(asyncio.get_running_loop(), {})
    watch = watches.get(tenant_id)
    if watch is None or watch.is_over:
        watch = watches[tenant_id] = _Watch(tenant_id)
    watch.n_streams += 1
    try:
        yield watch
    finally:
        watch.n_streams -= 1
        if not watch.n_streams:
            watch.task.cancel()
            if watches.get(tenant_id) is watch:
                del watches[tenant_id]


async def _there_within(limit_s: float, future: asyncio.Future[T]) -> T:
    """Return what the future holds once it is there; raise TimeoutError where it is not by then.

    What is there counts also where the loop was too busy to look in time: it has sent nothing meanwhile.
    """
    try:
        await asyncio.wait({future}, timeout=limit_s)
        if not future.done():
            raise TimeoutError
        return future.result()
    finally:
        future.cancel()


def _epoch_of(tenant_id: UUID) -> int | None:
    try:
        with tenant_scope(tenant_id):
            return standing_epoch()
    finally:
        connection.close()


def _asked(stands: Callable[[], bool]) -> bool:
    try:
        return stands()
    finally:
        connection.close()
