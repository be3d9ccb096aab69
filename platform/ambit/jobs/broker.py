"""The queue's address, and sending by name; a broker that is down delays work and loses none."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

RUN_JOB = "ambit.run_job"
ARRANGE_GRAPHS = "ambit.arrange_graphs"
KEEP_USES = "ambit.keep_uses"
MAY_SCRUB = "ambit_may_scrub"
ANSWER_S = 1.0
# Work of the installation as a whole, which is due every hour anyway.
UPKEEP = "upkeep"
SOON_S = 30


def broker_url() -> str:
    """Return REDIS_URL in Celery's spelling."""
    url = str(settings.REDIS_URL)
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{unquote(parts.path)}?virtual_host={database}"


@lru_cache(maxsize=1)
def _sender() -> Celery:
    sender = Celery("ambit-sender", broker=broker_url(), set_as_current=False)
    sender.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=2,
        broker_transport_options={"socket_connect_timeout": 1, "socket_timeout": 2},
    )
    return sender


class _Rest:
    """Lets requests go on at full speed while the broker is down: the sweep sends what they did not."""

    SECONDS = 5.0

    def __init__(self) -> None:
        self.until = 0.0

    def begin(self) -> None:
        self.until = time.monotonic() + self.SECONDS

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self.until


_rest = _Rest()


def waiting(queue: str) -> int:
    """Return how many messages wait in a queue; raise redis.RedisError when the broker is down."""
    with Redis.from_url(str(settings.REDIS_URL), socket_timeout=2) as client:
        return int(client.llen(queue))


def wait_for_turn(name: str, *, every_s: float) -> float:
    """Return 0 to one caller in so many seconds, and to the others how long they have to wait.

    Where the broker is down, or forgot, it is everybody's turn.
    """
    key = f"ambit.turn.{name}"
    try:
        with Redis.from_url(str(settings.REDIS_URL), socket_timeout=2) as client:
            if client.set(key, 1, nx=True, px=max(1, int(1000 * every_s))):
                return 0.0
            left: Any = client.pttl(key)
            return max(0.001, float(left) / 1000)
    except RedisError:
        return 0.0


def ask_for(task: str) -> None:
    """Ask for upkeep in a moment; where the broker is down its usual time will do."""
    try:
        _sender().send_task(task, queue=UPKEEP, countdown=SOON_S, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("jobs.upkeep_not_asked_for", extra={"error": type(error).__name__})


def send(*, tenant_id: UUID, job_id: UUID, queue: str) -> bool:
    """Ask a worker to look at a job now; False when the broker is down and the sweep will find it."""
    if _rest.is_on:
        return False
    try:
        _sender().send_task(
            RUN_JOB,
            kwargs={"tenant_id": str(tenant_id), "job_id": str(job_id)},
            queue=queue,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        _rest.begin()
        logger.warning(
            "jobs.broker_unavailable",
            extra={"job_id": str(job_id), "error": type(error).__name__},
        )
        return False
    return True


def workers_that_scrub() -> list[bool]:
    """Ask every worker whether it has the login that rewrites tables; waits a second for their answers.

    Raises OSError where the broker is down.
    """
    try:
        answers = _sender().control.broadcast(MAY_SCRUB, reply=True, timeout=ANSWER_S)
    except OperationalError as error:
        raise OSError from error
    return [bool(said.get(MAY_SCRUB)) for one in answers or [] for said in one.values()]
