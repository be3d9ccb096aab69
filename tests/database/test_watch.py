"""Answers being written end within two seconds of what is taken from their asker, and no others do."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.answers import flow, watch
from ambit.answers.retrieve import still_visible
from ambit.answers.types import Question
from ambit.answers.watch import revoked
from ambit.config.settings import EMBEDDED
from ambit.corpus.types import Clearance
from tenants import services as directory
from tenants.models import Tenant
from tenants.queries import get_tenant
from tests.database.erasures import keep_from_workers
from tests.database.private import superuser_url
from tests.database.revoking import OTHERS, Scene, make_scene
from tests.database.streams import LONG_AGO, Stream, apart, begin, in_thread, run
from tests.database.worlds import unit, working

# What a stream may still say after the commit.
AT_MOST_S = 2.0


def take_bob_out(scene: Scene) -> None:
    """Take Bob's place in the group by which he reads the collection, and his own grant on it."""
    with working(scene.tenant_id):
        directory.remove_from_group(group_id=scene.inner, member_id=scene.office.bob)
        scene.grant_collection()


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Counter[UUID]:
    """Count the polls of each tenant."""
    counted: Counter[UUID] = Counter()
    ask = watch._epoch_of

    @functools.wraps(ask)
    def counting(tenant_id: UUID) -> int | None:
        counted[tenant_id] += 1
        return ask(tenant_id)

    monkeypatch.setattr(watch, "_epoch_of", counting)
    return counted


@pytest.fixture(scope="module")
def scenes(_database: None) -> list[Scene]:
    """Return two tenants from which nothing is taken."""
    return [make_scene() for _ in range(2)]


def test_of_fifty_streams_those_of_the_member_end(
    scenes: list[Scene], polls: Counter[UUID]
) -> None:
    scene = make_scene()
    bobs = [begin(scene, scene.office.bob)] * 15
    others = [begin(one, one.office.alice) for one in (scene, *scenes) for _ in range(10)]
    others += [begin(scenes[0], scenes[0].office.bob)] * 5

    async def of() -> None:
        ending = [asyncio.create_task(one.ends()) for one in bobs]
        staying = [asyncio.create_task(one.ends()) for one in others]
        await asyncio.sleep(1.2)
        assert not any(task.done() for task in ending + staying)
        committed = await in_thread(lambda: take_bob_out(scene))
        done, _ = await asyncio.wait(ending, timeout=5)
        assert len(done) == 15
        late = [task.result() - committed for task in done]
        assert max(late) <= AT_MOST_S
        assert not any(task.done() for task in staying)
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)

    before = time.monotonic()
    run(of)
    most = (time.monotonic() - before) / watch.POLL_S + 2
    assert set(polls) == {scene.tenant_id, *(one.tenant_id for one in scenes)}
    assert max(polls.values()) <= most, "polls grow with streams"


def test_each_kind_of_revocation_ends_what_it_concerns() -> None:
    scene = make_scene()

    def delete() -> None:
        with working(scene.tenant_id):
            delete_document(clearance=scene.alices(), document_id=scene.shared)
            keep_from_workers()

    def suspend() -> None:
        with working(scene.tenant_id):
            directory.set_member_suspended(member_id=scene.office.alice, suspended=True)

    async def of() -> None:
        alice, bob = (asyncio.create_task(one.ends()) for one in prepared)
        committed = await in_thread(delete)
        assert await asyncio.wait_for(alice, 5) - committed <= AT_MOST_S
        assert not bob.done()
        again = asyncio.create_task((await asyncio.to_thread(apart, scene.office.alice)).ends())
        committed = await in_thread(suspend)
        assert await asyncio.wait_for(again, 5) - committed <= AT_MOST_S
        assert not bob.done()
        committed = await in_thread(lambda: suspend_tenant(scene))
        assert await asyncio.wait_for(bob, 5) - committed <= AT_MOST_S

    def apart(member_id: UUID) -> Stream:
        try:
            return begin(scene, member_id)
        finally:
            connection.close()

    prepared = [begin(scene, m) for m in (scene.office.alice, scene.office.bob)]
    run(of)


def suspend_tenant(scene: Scene) -> None:
    """Suspend the whole tenant, as the operator."""
    Tenant.objects.using("operator").filter(pk=scene.tenant_id).update(suspended_at=timezone.now())


def test_a_clearance_that_is_remembered_is_seen_by_these_tests() -> None:
    scene = make_scene()
    stream = begin(scene, scene.office.bob)
    with working(scene.tenant_id):
        remembered = clearance_for(member_id=stream.member_id)

    def stands() -> bool:
        with working(scene.tenant_id):
            return still_visible(clearance=remembered, passages=stream.passages)

    async def of() -> None:
        ended = revoked(stands, tenant_id=scene.tenant_id, epoch=stream.epoch)
        task = asyncio.create_task(ended)
        await in_thread(lambda: take_bob_out(scene))
        await asyncio.sleep(AT_MOST_S)
        assert not task.done(), "asked for anew, it would have ended"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(of)


def test_what_was_taken_before_the_watch_began_ends_it_at_once() -> None:
    scene = make_scene()
    stream = begin(scene, scene.office.bob)
    take_bob_out(scene)

    async def of() -> None:
        await asyncio.wait_for(stream.ends(), watch.STANDS_S)

    run(of)


def test_what_is_taken_once_the_clearance_is_known_counts_as_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = make_scene()
    ask = clearance_for

    def asked_just_before(*, member_id: UUID) -> Clearance:
        clearance = ask(member_id=member_id)
        with ThreadPoolExecutor() as others:
            others.submit(apart, lambda: take_bob_out(scene)).result()
        return clearance

    monkeypatch.setattr(flow, "clearance_for", asked_just_before)
    with working(scene.tenant_id):
        before = get_tenant().salt_epoch
        prepared = flow.prepare(
            member_id=scene.office.bob, question=Question("harbor"), embedding=unit(0).tolist()
        )

    assert prepared.salt_epoch == before, "the watch would not see that it was taken"


def test_more_rights_and_what_others_lose_end_nothing() -> None:
    scene = make_scene()
    asked: Counter[str] = Counter()
    stream = begin(scene, scene.office.alice)

    def stands() -> bool:
        asked["alice"] += 1
        return stream.stands()

    def give() -> None:
        with working(scene.tenant_id, custody=True):
            OTHERS["a member is put into a group"](scene)
            OTHERS["a document gets a reader"](scene)

    async def of() -> None:
        task = asyncio.create_task(revoked(stands, tenant_id=scene.tenant_id, epoch=stream.epoch))
        await in_thread(give)
        await asyncio.sleep(1.2)
        assert not asked["alice"], "more rights are no reason to ask"
        await in_thread(lambda: take_bob_out(scene))
        await asyncio.sleep(1.2)
        assert (asked["alice"], task.done()) == (1, False)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(of)


def test_an_error_is_a_no(scenes: list[Scene]) -> None:
    def breaks() -> bool:
        raise RuntimeError

    def hangs() -> bool:
        time.sleep(watch.STANDS_S + 0.5)
        return True

    async def of() -> None:
        for stands in (breaks, hangs):
            began = time.monotonic()
            ended = revoked(stands, tenant_id=scenes[0].tenant_id, epoch=LONG_AGO)
            await asyncio.wait_for(ended, AT_MOST_S)
            assert time.monotonic() - began < AT_MOST_S

    run(of)


@pytest.fixture
def superuser_again(_database: None) -> Iterator[psycopg.Connection]:
    """Connect as the superuser, in a transaction."""
    with psycopg.connect(superuser_url(EMBEDDED)) as connection:
        yield connection


def test_a_database_that_hangs_ends_them_after_two_seconds(
    scenes: list[Scene], superuser_again: psycopg.Connection
) -> None:
    stream = begin(scenes[0], scenes[0].office.alice)

    async def of() -> None:
        task = asyncio.create_task(stream.ends())
        await asyncio.sleep(0.8)
        superuser_again.execute("LOCK TABLE tenants_tenant IN ACCESS EXCLUSIVE MODE")
        locked = time.monotonic()
        try:
            assert 1.0 < await asyncio.wait_for(task, 5) - locked < AT_MOST_S + 0.3
        finally:
            superuser_again.rollback()

    run(of)


def test_a_database_that_refuses_ends_them_after_two_seconds(
    scenes: list[Scene], superuser_again: psycopg.Connection, polls: Counter[UUID]
) -> None:
    stream = begin(scenes[0], scenes[0].office.alice)

    async def of() -> None:
        task = asyncio.create_task(stream.ends())
        await asyncio.sleep(0.8)
        superuser_again.execute("REVOKE SELECT ON tenants_tenant FROM ambit_app")
        superuser_again.commit()
        refused, before = time.monotonic(), polls.total()
        try:
            assert 1.0 < await asyncio.wait_for(task, 5) - refused < AT_MOST_S + 0.3
        finally:
            superuser_again.execute("GRANT SELECT ON tenants_tenant TO ambit_app")
            superuser_again.commit()
        assert polls.total() - before >= 3, "it was asked again meanwhile"

    run(of)


def test_a_short_outage_ends_nothing(
    scenes: list[Scene], superuser_again: psycopg.Connection
) -> None:
    stream = begin(scenes[0], scenes[0].office.alice)

    async def of() -> None:
        task = asyncio.create_task(stream.ends())
        await asyncio.sleep(0.8)
        superuser_again.execute("LOCK TABLE tenants_tenant IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(0.9)
        superuser_again.rollback()
        await asyncio.sleep(1.5)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(of)


def test_a_poll_that_dies_ends_them(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = begin(scenes[0], scenes[0].office.alice)

    async def of() -> None:
        task = asyncio.create_task(stream.ends())
        await asyncio.sleep(0.3)
        (one,) = watch._WATCHES[asyncio.get_running_loop()].values()
        one.task.cancel()
        await asyncio.wait_for(task, 1)

    run(of)


def test_the_last_stream_ends_the_poll(scenes: list[Scene], polls: Counter[UUID]) -> None:
    stream = begin(scenes[0], scenes[0].office.alice)

    async def of() -> None:
        for _ in range(3):
            two = [asyncio.create_task(stream.ends()) for _ in range(2)]
            await asyncio.sleep(0.2)
            for task in two:
                task.cancel()
            await asyncio.gather(*two, return_exceptions=True)
            assert watch._WATCHES[asyncio.get_running_loop()] == {}
        before = polls.total()
        await asyncio.sleep(0.8)
        assert polls.total() == before

    run(of)
