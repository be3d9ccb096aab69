"""The places themselves: who holds one and who waits, in Redis; one thread of a process speaks for all its requests.

However many wait, a process asks once in a while, and not at all while nobody does. What it holds and waits for is
said anew each time, so that a Redis that lost everything knows it again with the next lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.conf import settings
from redis.exceptions import RedisError

from ambit.metering.buckets import LimitsUnavailable, redis_at

LEASE_S = 15.0
BEATS_PER_LEASE = 3
# Between two looks for places that other processes freed: at first, and at most.
SOONEST_S, LATEST_S = 0.02, 0.1
# How many of one tenant may wait for each place there is.
WAITING_PER_PLACE = 4
# Of a cluster's slots they share one.
KEYS = tuple(
    f"ambit.turns.{{all}}.{name}" for name in ("held", "waiting", "alive", "served", "count")
)
# A ticket is TENANT:TICKET. Held and alive are scored by when their lease ends, waiting by order of arrival; served
# are tenants by when they last got a place, so that of those with as many places none is served twice in a row.
_DEAL = """
local held, waiting, alive, served, count = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local told = cjson.decode(ARGV[1])
local lease, places, longest = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function tenant_of(ticket) return string.sub(ticket, 1, string.find(ticket, ':', 1, true) - 1) end

for _, ticket in ipairs(told.left) do
    redis.call('ZREM', held, ticket)
    redis.call('ZREM', waiting, ticket)
    redis.call('ZREM', alive, ticket)
end
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now)) do
    redis.call('ZREM', alive, ticket)
    redis.call('ZREM', waiting, ticket)
end
for _, ticket in ipairs(told.held) do redis.call('ZADD', held, now + lease, ticket) end
local free = places - redis.call('ZCARD', held)

local ahead, queues, tenants = {}, {}, {}
local refused = {}
local function queue_of(tenant)
    if not queues[tenant] then
        queues[tenant] = {}
        table.insert(tenants, tenant)
    end
    return queues[tenant]
end
for _, ticket in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
    table.insert(queue_of(tenant_of(ticket)), ticket)
end
for _, ticket in ipairs(told.waiting) do
    if redis.call('ZSCORE', held, ticket) then
        redis.call('ZADD', held, now + lease, ticket)
    elseif redis.call('ZSCORE', waiting, ticket) then
        redis.call('ZADD', alive, now + lease, ticket)
    else
        local queue = queue_of(tenant_of(ticket))
        if #queue >= longest + math.max(0, free) then
            table.insert(refused, ticket)
        else
            table.insert(queue, ticket)
            redis.call('ZADD', waiting, redis.call('INCR', count), ticket)
            redis.call('ZADD', alive, now + lease, ticket)
        end
    end
end

local counts = {}
for _, ticket in ipairs(redis.call('ZRANGE', held, 0, -1)) do
    local tenant = tenant_of(ticket)
    counts[tenant] = (counts[tenant] or 0) + 1
end
local function is_before(one, other)
    local ones, others = counts[one] or 0, counts[other] or 0
    if ones ~= others then return ones < others end
    return (tonumber(redis.call('ZSCORE', served, one)) or 0) < (tonumber(redis.call('ZSCORE', served, other)) or 0)
end
while free > 0 do
    local best
    -- In the order in which their first waiting requests came.
    for _, tenant in ipairs(tenants) do
        if #queues[tenant] > 0 and (not best or is_before(tenant, best)) then best = tenant end
    end
    if not best then break end
    local ticket = table.remove(queues[best], 1)
    ahead[ticket] = counts[best] or 0
    counts[best] = (counts[best] or 0) + 1
    free = free - 1
    redis.call('ZREM', waiting, ticket)
    redis.call('ZREM', alive, ticket)
    redis.call('ZADD', held, now + lease, ticket)
    redis.call('ZADD', served, redis.call('INCR', count), best)
end
redis.call('ZREMRANGEBYRANK', served, 0, -1001)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 10 * lease) end

local granted = {}
for _, ticket in ipairs(told.waiting) do
    if redis.call('ZSCORE', held, ticket) then
        local before = ahead[ticket] or counts[tenant_of(ticket)] - 1
        table.insert(granted, ticket)
        table.insert(granted, tostring(before))
    end
end
return {granted, refused}
"""


class QueueFull(RuntimeError):
    """As many requests of the tenant wait as may."""


@dataclass(slots=True)
class _Desk:
    """What a process holds and waits for; begun anew in a process that was forked."""

    pid: int = field(default_factory=os.getpid)
    waiting: dict[str, Future[int]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    # Something was asked for or given back since the last round.
    stirred: bool = False


class Room:
    """The requests of one process that hold a place or wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._desk = _Desk()
        self._thread: threading.Thread | None = None

    def enter(self, tenant_id: UUID) -> tuple[str, Future[int]]:
        """Ask for a place; return the ticket to leave by, and what will say how many of the tenant are ahead.

        The future fails with QueueFull or LimitsUnavailable.
        """
        ticket, granted = f"{tenant_id.hex}:{uuid4().hex}", Future[int]()
        with self._changed:
            self._be_running()
            self._desk.waiting[ticket] = granted
            self._stir()
        return ticket, granted

    def leave(self, ticket: str) -> None:
        """Give a place back, or stop waiting for one; waits for nothing. Twice is as good as once."""
        with self._changed:
            desk = self._desk
            if ticket in desk.held or desk.waiting.pop(ticket, None) is not None:
                desk.held.discard(ticket)
                desk.left.add(ticket)
                self._stir()

    def _stir(self) -> None:
        self._desk.stirred = True
        self._changed.notify()

    def _be_running(self) -> None:
        if self._desk.pid != os.getpid():
            self._desk, self._thread = _Desk(), None
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="turns", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = SOONEST_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._desk.stirred, timeout=self._rest(pause))
                pause = SOONEST_S if self._desk.stirred else min(LATEST_S, 2 * pause)
                self._desk.stirred = False
                left, held = list(self._desk.left), list(self._desk.held)
                waiting = list(self._desk.waiting)
            try:
                granted, refused = _deal(left=left, held=held, waiting=waiting)
            except RedisError as error:
                self._fail(waiting, error)
                # What is held and what was left is said again, with the next one who comes or the next lease.
                time.sleep(SOONEST_S)
            else:
                self._hand_out(granted, refused, left)

    def _rest(self, pause: float) -> float | None:
        """Return for how long nothing needs to be said; None: until somebody comes."""
        if self._desk.waiting:
            return pause
        return LEASE_S / BEATS_PER_LEASE if self._desk.held else None

    def _hand_out(self, granted: dict[str, int], refused: list[str], left: list[str]) -> None:
        with self._changed:
            self._desk.left.difference_update(left)
            for ticket, ahead in granted.items():
                waits = self._desk.waiting.pop(ticket, None)
                # Who left meanwhile has said so, and the next round gives the place back.
                if waits is not None:
                    self._desk.held.add(ticket)
                    with contextlib.suppress(InvalidStateError):
                        waits.set_result(ahead)
            for ticket in refused:
                waits = self._desk.waiting.pop(ticket, None)
                if waits is not None:
                    _fail_one(waits, QueueFull())

    def _fail(self, waiting: list[str], error: RedisError) -> None:
        with self._changed:
            for ticket in waiting:
                waits = self._desk.waiting.pop(ticket, None)
                if waits is not None:
                    unavailable = LimitsUnavailable()
                    unavailable.__cause__ = error
                    _fail_one(waits, unavailable)


def _fail_one(waits: Future[int], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):
        waits.set_exception(error)


def _deal(
    *, left: list[str], held: list[str], waiting: list[str]
) -> tuple[dict[str, int], list[str]]:
    """Say what changed, have free places dealt out, and return which of those that wait got one and which may not wait.

    Raises RedisError.
    """
    places = settings.AMBIT_VLLM_CONCURRENCY
    told = json.dumps({"left": left, "held": held, "waiting": waiting})
    granted, refused = redis_at(str(settings.REDIS_URL)).register_script(_DEAL)(
        keys=KEYS,
        args=[told, int(1000 * LEASE_S), places, places * WAITING_PER_PLACE],
    )
    pairs = zip(granted[::2], granted[1::2], strict=True)
    return {ticket.decode(): int(ahead) for ticket, ahead in pairs}, [t.decode() for t in refused]
