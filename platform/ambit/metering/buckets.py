"""Token buckets in Redis: all that a request needs is taken at once, or nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

ANSWER_S = 2
WINDOW_S = 60
# A bucket is the moment at which it will be full again, in microseconds of Redis' own clock: one whole number,
# which cannot be half written, and a key that is gone once it says nothing.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local buckets, wait = {}, 0
for i, key in ipairs(KEYS) do
    local size = tonumber(ARGV[1 + i])
    local cost = math.floor(tonumber(ARGV[1]) * 1000000 / size)
    local room = cost * size
    -- A clock that was set back must not shut anybody out for longer than a window.
    local full = math.min(math.max(tonumber(redis.call('GET', key)) or 0, now), now + room)
    wait = math.max(wait, full + cost - now - room)
    buckets[i] = {full = full, cost = cost, room = room}
end
local answer = {wait}
for i, key in ipairs(KEYS) do
    local one = buckets[i]
    if wait <= 0 then
        one.full = one.full + one.cost
        redis.call('SET', key, string.format('%.0f', one.full), 'PX', math.ceil((one.full - now) / 1000))
    end
    table.insert(answer, math.floor((now + one.room - one.full) / one.cost))
    table.insert(answer, math.ceil((one.full - now) / 1000000))
end
return answer
"""


class LimitsUnavailable(RuntimeError):
    """Redis, in which limits and places are counted, cannot be reached; nobody is let past a limit meanwhile."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may be taken within a minute, and from which key."""

    name: str
    key: str
    per_minute: int


@dataclass(frozen=True, slots=True)
class Level:
    """What a bucket holds after it was asked: how many more at once, and in how many seconds it is full."""

    bucket: Bucket
    left: int
    full_in_s: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking; retry_after_s is None where it was given."""

    levels: tuple[Level, ...]
    retry_after_s: int | None


def bucket_of_tenant(tenant_id: UUID, *, per_minute: int) -> Bucket:
    """Return the bucket that a tenant's requests share."""
    return Bucket("tenant", f"ambit.rate.{{{tenant_id}}}", per_minute)


def bucket_of_member(tenant_id: UUID, member_id: UUID, *, per_minute: int) -> Bucket:
    """Return a member's bucket; in a cluster it lies where its tenant's does."""
    return Bucket("member", f"ambit.rate.{{{tenant_id}}}.{member_id}", per_minute)


def take(buckets: Sequence[Bucket]) -> Taken:
    """Take one request from every bucket, or from none; raise LimitsUnavailable. No bucket: Redis is not asked."""
    if not buckets:
        return Taken((), None)
    try:
        wait, *levels = _redis().register_script(_TAKE)(
            keys=[one.key for one in buckets], args=[WINDOW_S, *(one.per_minute for one in buckets)]
        )
    except RedisError as error:
        raise LimitsUnavailable from error
    return Taken(
        tuple(
            Level(bucket, left, full_in_s)
            for bucket, left, full_in_s in zip(buckets, levels[::2], levels[1::2], strict=True)
        ),
        # The header counts whole seconds: too late is right, too early is refused again.
        -(-wait // 1_000_000) if wait else None,
    )


def _redis() -> Redis:
    return redis_at(str(settings.REDIS_URL))


@lru_cache(maxsize=4)
def redis_at(url: str) -> Redis:
    """Return a client whose connections every thread may use, and which answers or fails within seconds."""
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        # A connection that lay idle while Redis was started anew is replaced, once.
        retry=Retry(NoBackoff(), 1),
    )
