"""What takes something from anybody's reach raises the tenant's epoch at its commit, once; nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from tenants import services as directory
from tenants.scope import tenant_scope
from tests.database.private import PrivateDatabase
from tests.database.readers import Begin
from tests.database.revoking import OTHERS, REVOCATIONS, SEEN_BY, Scene, make_scene
from tests.database.test_schema import _rows
from tests.database.worlds import make_tenant, working
from tests.replay.world import rows_written


@pytest.fixture(scope="module")
def elsewhere(_database: None) -> Scene:
    """Return a tenant in which nothing happens."""
    return make_scene()


@pytest.mark.parametrize("deed", REVOCATIONS)
def test_what_takes_something_from_somebody_raises_the_epoch_once(
    deed: str, elsewhere: Scene
) -> None:
    scene, before = make_scene(), elsewhere.epoch()

    assert scene.raised_by(REVOCATIONS[deed]) == 1
    assert elsewhere.epoch() == before


@pytest.mark.parametrize("deed", OTHERS)
def test_what_takes_nothing_from_anybody_leaves_it(deed: str) -> None:
    assert make_scene().raised_by(OTHERS[deed]) == 0


def test_all_that_one_transaction_takes_raises_it_once() -> None:
    def everything(scene: Scene) -> None:
        REVOCATIONS["a member is taken out of a group"](scene)
        REVOCATIONS["a reader is taken from a collection"](scene)
        REVOCATIONS["a document is deleted"](scene)
        directory.bump_salt_epoch()

    assert make_scene().raised_by(everything) == 1


def test_what_is_rolled_back_raises_nothing() -> None:
    scene = make_scene()
    before = scene.epoch()

    with pytest.raises(RuntimeError), working(scene.tenant_id):
        REVOCATIONS["a member is taken out of a group"](scene)
        raise RuntimeError

    assert scene.epoch() == before
    assert scene.raised_by(REVOCATIONS["a member is taken out of a group"]) == 1


def test_it_is_raised_where_the_scope_ends_before_its_transaction() -> None:
    scene = make_scene()
    before = scene.epoch()

    with transaction.atomic():
        with working(scene.tenant_id):
            REVOCATIONS["a member is taken out of a group"](scene)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('ambit.tenant_id')")
            assert cursor.fetchone() == ("",)

    assert scene.epoch() == before + 1


def test_it_is_a_second_row_of_a_revocation() -> None:
    scene = make_scene()

    with working(scene.tenant_id), rows_written() as written:
        REVOCATIONS["a member is taken out of a group"](scene)

    assert written == {"tenants_groupmember": 1, "tenants_tenant": 1, "audit": 1}


def test_what_crosses_does_not_wait_before_its_commit(begin: Begin) -> None:
    scene = make_scene()
    before = scene.epoch()

    with working(scene.tenant_id):
        directory.remove_from_group(group_id=scene.inner, member_id=scene.office.bob)
        # Were the tenant's row locked already, this would wait for us, and we for it.
        begin(scene.tenant_id, lambda: scene.share(scene.own)).result()
        assert scene.epoch() == before + 1

    assert scene.epoch() == before + 2


def test_revocations_in_any_order_are_no_deadlock() -> None:
    scene = make_scene()
    carol = {"group_id": scene.outer, "member_id": scene.office.carol}

    def back_and_forth() -> None:
        try:
            for n in range(10):
                with working(scene.tenant_id, custody=True):
                    scene.share(scene.own, *[scene.office.bob] * (n % 2))
                    directory.add_to_group(**carol)
                with working(scene.tenant_id, custody=True):
                    directory.remove_from_group(**carol)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(back_and_forth) for _ in range(4)]:
            done.result(60)


def test_who_may_not_raise_it_takes_nothing(bare: PrivateDatabase) -> None:
    scene = make_scene()
    with bare.superuser() as superuser:
        superuser.execute("REVOKE UPDATE ON tenants_tenant FROM ambit_app")
        try:
            with pytest.raises(DatabaseError):
                scene.raised_by(REVOCATIONS["a member is taken out of a group"])
        finally:
            superuser.execute("GRANT UPDATE ON tenants_tenant TO ambit_app")

    assert scene.raised_by(REVOCATIONS["a member is taken out of a group"]) == 1


def test_a_setting_does_not_keep_it_from_being_raised() -> None:
    scene = make_scene()
    before = scene.epoch()

    with tenant_scope(scene.tenant_id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('ambit.epoch_raised', %s || ' ' || pg_current_xact_id(), false)",
            [scene.tenant_id],
        )
    with working(scene.tenant_id):
        REVOCATIONS["a member is taken out of a group"](scene)

    assert scene.epoch() == before + 1


def test_the_triggers_are_these_and_wait_for_the_commit() -> None:
    found = _rows(
        "SELECT tgrelid::regclass::text || '.' || tgname, tgdeferrable AND tginitdeferred FROM pg_trigger"
        " WHERE tgname LIKE 'revokes%%' AND tgenabled = 'O'"
    )

    # Citus refuses triggers on distributed tables.
    assert dict(found) == dict.fromkeys(SEEN_BY, True)


@pytest.mark.parametrize("trigger", SEEN_BY)
def test_each_trigger_is_missed_where_it_is_gone(bare: PrivateDatabase, trigger: str) -> None:
    deed, first = SEEN_BY[trigger]
    scenes = [make_scene(), make_scene()]
    if first is not None:
        for scene in scenes:
            scene.raised_by(first)

    with bare.superuser() as superuser, _without(superuser, trigger):
        assert scenes[0].raised_by(deed) == 0
    assert scenes[1].raised_by(deed) == 1


@contextmanager
def _without(superuser: psycopg.Connection, trigger: str) -> Iterator[None]:
    table, name = trigger.split(".")
    names = {"table": sql.Identifier(table), "name": sql.Identifier(name)}
    superuser.execute(sql.SQL("ALTER TABLE {table} DISABLE TRIGGER {name}").format(**names))
    try:
        yield
    finally:
        superuser.execute(sql.SQL("ALTER TABLE {table} ENABLE TRIGGER {name}").format(**names))


def test_a_tenant_of_its_own_begins_at_one() -> None:
    with working(make_tenant()), connection.cursor() as cursor:
        cursor.execute("SELECT salt_epoch FROM tenants_tenant")
        assert cursor.fetchall() == [(1,)]
