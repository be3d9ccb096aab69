"""Cases that come together share one rewriting; each closes by itself, and says what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.utils import timezone
from redis import Redis

from ambit.jobs.broker import wait_for_turn
from ambit.jobs.kinds import ERASE
from ambit.jobs.models import Job
from ambit.scrub import flow as rewriting
from ambit.scrub.blocked import WORDS
from ambit.scrub.pages import rewrite
from tests.database.erasures import file_for, inhabit, keep_from_workers, take, view_of, work_on
from tests.database.worlds import working
from workers.erase.flow import erase
from workers.erase.scrub import SCRUB

_KEY = f"ambit.turn.{SCRUB}"


@pytest.fixture(autouse=True)
def redis(settings: LazySettings, database: object) -> Iterator[Redis]:
    """Rewrite once in ten minutes; nobody's turn was taken yet."""
    settings.AMBIT_SCRUB_INTERVAL_S = 600
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete(_KEY)
        yield client
        client.delete(_KEY)


@pytest.fixture
def rewritten(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the tables as they are rewritten."""
    found: list[str] = []

    def note(mark: object, table: str, cursor: object) -> None:
        found.append(table)
        rewrite(mark, table, cursor)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(rewriting, "rewrite", note)
    return found


def do_once(tenant_id: UUID, case_id: UUID) -> float:
    """Do a case's job once; return in how many seconds it is due again, 0 where it is done."""
    held = take(tenant_id, case_id)
    assert held is not None
    before = timezone.now()
    erase(held)
    with working(tenant_id):
        due = Job.objects.filter(name=ERASE.name, object_id=case_id).values_list(
            "run_after", flat=True
        )
        found = due.first()
        keep_from_workers()
    return (found - before).total_seconds() if found else 0.0


def test_a_case_waits_its_turn_says_so_and_shares_it(redis: Redis, rewritten: list[str]) -> None:
    first, second, third = inhabit(), inhabit(), inhabit()
    case = file_for(first)
    assert work_on(first.tenant_id, case).state == "closed"
    n_rewritten = len(rewritten)
    assert n_rewritten > 0
    others = {town.tenant_id: file_for(town) for town in (second, third)}

    for tenant_id, case_id in others.items():
        while (due_s := do_once(tenant_id, case_id)) < 5:
            # Another test's transaction is older than the request: not settled yet.
            assert due_s
        view = view_of(tenant_id, case_id)
        assert (view.state, view.waits_for) == ("shredded", WORDS["soon"])
        assert 500 < due_s <= 600
    assert len(rewritten) == n_rewritten

    # Ten minutes later.
    redis.delete(_KEY)
    for tenant_id, case_id in others.items():
        assert work_on(tenant_id, case_id).state == "closed"
        assert view_of(tenant_id, case_id).waits_for == ""
    assert len(rewritten) == 2 * n_rewritten


def test_a_turn_is_one_callers_and_comes_again(redis: Redis) -> None:
    redis.delete("ambit.turn.test")
    assert wait_for_turn("test", every_s=0.2) == 0
    left_s = wait_for_turn("test", every_s=0.2)
    assert 0 < left_s <= 0.2
    redis.delete("ambit.turn.test")
    assert wait_for_turn("test", every_s=0.2) == 0


def test_without_redis_it_is_everybodys_turn(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert wait_for_turn("test", every_s=60) == 0
