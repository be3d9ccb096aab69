"""What the job table and the queue hold about covered documents: ids, in work still to be done."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Set
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from redis import Redis
from redis.exceptions import RedisError

from ambit.jobs.kinds import ERASE, INGEST_VERSION, QUEUES, REMOVE_DOCUMENT
from ambit.jobs.models import Job
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import current_tenant_id

QUEUE = "queue"
# What a message may say: which job of which tenant.
MESSAGE_KEYS = {"tenant_id", "job_id"}
_BATCH = 1000
_ID = re.compile(rb"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
T = TypeVar("T")
# Its annotations allow for an asynchronous client and for decoded text; this is neither.
_Redis = Any


def _jobs(scope: Scope) -> QuerySet[Job]:
    return Job.objects.filter(name=INGEST_VERSION.name, object_id__in=scope.version_ids)


def _jobs_left(scope: Scope) -> int:
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "objects": [str(one) for one in (*scope.version_ids, *scope.document_ids)],
        "destroying": [ERASE.name, REMOVE_DOCUMENT.name],
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM jobs_job WHERE tenant_id = %(tenant)s"
            " AND object_id::text = ANY (%(objects)s) AND NOT name = ANY (%(destroying)s)",
            values,
        )
        (n,) = cursor.fetchone()
    return int(n)


def _find(scope: Scope) -> int:
    ids = _spelled(scope)
    return _reach(lambda redis: sum(1 for _ in _entries_with(redis, ids))) if ids else 0


def _destroy(scope: Scope) -> None:
    ids = _spelled(scope)
    if ids:
        _reach(lambda redis: [remove() for remove in list(_entries_with(redis, ids))])


def _spelled(scope: Scope) -> set[bytes]:
    return {one.hex.encode() for one in scope.object_ids}


def _names(text: bytes, ids: Set[bytes]) -> bool:
    found = (match.replace(b"-", b"").lower() for match in _ID.findall(text))
    return not ids.isdisjoint(found)


def count_entries(ids: Iterable[UUID], *, but: UUID) -> int:
    """Count the entries of Redis that spell any of these ids, but those about one job; raise HoldingFailed."""
    wanted, own = {one.hex.encode() for one in ids}, {but.hex.encode()}
    return _reach(lambda redis: sum(1 for _ in _entries_with(redis, wanted, own)))


def destroy_entries(ids: Iterable[UUID], *, but: UUID) -> int:
    """Remove what count_entries() counts, and return how many there were; raise HoldingFailed."""
    wanted, own = {one.hex.encode() for one in ids}, {but.hex.encode()}
    return _reach(
        lambda redis: len([remove() for remove in list(_entries_with(redis, wanted, own))])
    )


def count_messages_left(tenant_id: UUID, *, but: UUID) -> int:
    """Count waiting messages and keys of a tenant: each message is taken apart. Raises HoldingFailed.

    Of the job `but` a message may say that it is the tenant's, and no more.
    """
    return _reach(
        lambda redis: (
            sum(_is_of(message, str(tenant_id), but) for message in _messages(redis))
            + sum(len(redis.keys(f"*{one}*")) for one in (tenant_id, tenant_id.hex))
        )
    )


def _is_of(message: bytes, tenant_id: str, but: UUID) -> bool:
    about_it = str(but).encode() in message or str(but) in _said_in(message)
    return _says_too_much(message, set() if about_it else {tenant_id}, tenant_id)


def _said_in(message: bytes) -> str:
    try:
        return base64.b64decode(json.loads(message)["body"]).decode()
    except (KeyError, TypeError, ValueError):
        return ""


def _entries_with(
    redis: _Redis, ids: set[bytes], but: Set[bytes] = frozenset()
) -> Iterator[Callable[[], object]]:
    """Yield, for each entry of Redis that spells a covered id and none of `but`, what removes that entry."""
    for key in redis.scan_iter(count=_BATCH):
        if _names(key, ids):
            yield partial(redis.delete, key)
            continue
        for value, remove in _values(redis, key):
            if _names(value, ids) and not _names(value, but):
                yield remove


def _values(redis: _Redis, key: bytes) -> Iterator[tuple[bytes, Callable[[], object]]]:
    kind = redis.type(key)
    if kind == b"string":
        yield redis.get(key) or b"", partial(redis.delete, key)
    elif kind == b"list":
        for item in _items(redis, key):
            yield item, partial(redis.lrem, key, 0, item)
    elif kind == b"hash":
        for name, value in redis.hscan_iter(key, count=_BATCH):
            yield name + b" " + value, partial(redis.hdel, key, name)
    elif kind == b"set":
        for item in redis.sscan_iter(key, count=_BATCH):
            yield item, partial(redis.srem, key, item)
    elif kind == b"zset":
        for item, _ in redis.zscan_iter(key, count=_BATCH):
            yield item, partial(redis.zrem, key, item)


def _items(redis: _Redis, key: bytes) -> Iterator[bytes]:
    for start in range(0, redis.llen(key), _BATCH):
        yield from redis.lrange(key, start, start + _BATCH - 1)


def _remains(scope: Scope) -> int:
    """Count waiting messages that name what is covered, or of this tenant say more than which job."""
    if not scope:
        return 0
    covered = {spelled for one in scope.object_ids for spelled in (str(one), one.hex)}
    return _reach(
        lambda redis: (
            sum(_says_too_much(m, covered, str(scope.tenant_id)) for m in _messages(redis))
            + sum(len(redis.keys(f"*{one}*")) for one in scope.actor_ids)
        )
    )


def _messages(redis: _Redis) -> Iterator[bytes]:
    for queue in QUEUES:
        yield from _items(redis, queue.encode())
    for held in redis.hvals("unacked"):
        yield json.dumps(json.loads(held)[0]).encode()


def _says_too_much(message: bytes, covered: set[str], tenant_id: str) -> bool:
    try:
        body = json.loads(base64.b64decode(json.loads(message)["body"]))
        arguments, named, _ = body
        extra = bool(arguments) or not set(named) <= MESSAGE_KEYS
        text = json.dumps([body, json.loads(message).get("headers")])
    except (KeyError, TypeError, ValueError):
        # Not a message of ours: what it says is taken as it stands.
        extra, text = True, message.decode(errors="replace")
    words = set(re.split(r"[^0-9a-f-]+", text))
    return bool(words & covered) or (extra and tenant_id in words)


def _reach(work: Callable[[_Redis], T]) -> T:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=10) as redis:
            return work(redis)
    except RedisError as error:
        raise HoldingFailed(QUEUE) from error


JOBS = Holding(
    name="jobs",
    title="Work waiting to be done on the documents",
    found_by="the ids of the documents' versions, among jobs of ingest",
    destroyed_by="deletion of the rows",
    verified_by="every job of the tenant of whatever kind, by the object it names",
    find=lambda scope: _jobs(scope).count(),
    destroy=lambda scope: _jobs(scope).delete(),
    remains=_jobs_left,
)
REDIS = Holding(
    name=QUEUE,
    title="Messages and other entries in Redis",
    found_by="a search of every key and value for the covered ids",
    destroyed_by="deletion of the entries",
    verified_by="each waiting message taken apart: it may say which job of which tenant, no more;"
    " and Redis' own search for keys that name the member",
    find=_find,
    destroy=_destroy,
    remains=_remains,
)
