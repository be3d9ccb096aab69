"""What Redis packs in its snapshots and append-only files is found by the scanner."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from ambit.config.embedded import Embedded
from ambit.config.runtime.supervisor import Stack
from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.stores import Store

NAME = "Anna Keller"
# LZF writes the name by references to where its parts stood before.
STORY = "Anna K. met Mr Keller; " + "and so on " * 30 + NAME + " and so on" * 30


@pytest.fixture
def redis(embedded: Embedded, stack: Stack) -> Iterator[Redis]:
    with Redis(unix_socket_path=str(embedded.redis_socket)) as connection:
        yield connection
        connection.flushall()
        connection.config_set("appendonly", "no")
    for path in embedded.redis_dir.iterdir():
        path.unlink()


def _wait_for_the_file(redis: Redis) -> None:
    """Wait until commands are appended: a file that is only scheduled lacks what comes before it is begun."""
    waits_for = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
    while any(redis.info("persistence")[name] for name in waits_for):
        time.sleep(0.05)


def test_a_value_packed_in_a_snapshot_is_found(embedded: Embedded, redis: Redis) -> None:
    redis.set("story", STORY)
    redis.rpush("list", *(f"{n} {STORY}" for n in range(20)))
    redis.save()

    snapshot = (embedded.redis_dir / "dump.rdb").read_bytes()
    report = scan([Canary("a", texts=(NAME,))], [Store("redis", embedded.redis_dir)], database=None)

    assert NAME.encode() not in snapshot
    assert [finding.count for finding in report.findings] == [21]


def test_a_value_that_was_deleted_is_found_until_the_file_is_written_anew(
    embedded: Embedded, redis: Redis
) -> None:
    redis.config_set("appendonly", "yes")
    _wait_for_the_file(redis)
    redis.set("story", STORY)
    redis.delete("story")

    report = scan([Canary("a", texts=(NAME,))], [Store("redis", embedded.redis_dir)], database=None)

    assert report.canaries_found == {"a"}
