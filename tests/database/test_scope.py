"""The tenant in scope: needed for everything, and gone with its transaction."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from ambit.corpus.models import Chunk, Document
from tenants.base import TenantModel
from tenants.models import Member
from tenants.scope import (
    NoTenantScope,
    WrongTenantScope,
    audience_scope,
    current_tenant_id,
    custody_scope,
    set_local,
    tenant_scope,
)

NAMES = ("tenant_id", "member_id", "audience_ids", "custody")
NOTHING = dict.fromkeys(NAMES, "")


class Deliberate(Exception):
    """Raised by a test."""


def _settings() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n, coalesce(current_setting('ambit.' || n, true), '') FROM unnest(%s::text[]) n",
            [list(NAMES)],
        )
        return dict(cursor.fetchall())


def _pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_outside_a_scope_there_is_no_tenant_and_no_guess() -> None:
    with pytest.raises(NoTenantScope):
        current_tenant_id()


def _concrete(base: type[Any]) -> list[type[TenantModel]]:
    found = []
    for model in base.__subclasses__():
        found += _concrete(model)
        if not model._meta.abstract:
            found.append(model)
    return found


@pytest.mark.parametrize("model", _concrete(TenantModel), ids=lambda model: model._meta.label)
def test_asking_for_rows_outside_a_scope_raises_and_returns_neither_none_nor_all(
    model: type[TenantModel],
) -> None:
    for ask in (
        lambda: list(model.objects.all()),
        lambda: model.objects.count(),
        lambda: model.objects.filter(pk=uuid4()).delete(),
        lambda: model.objects.filter(pk=uuid4()).update(tenant_id=uuid4()),
        lambda: model.objects.get(pk=uuid4()),
    ):
        with pytest.raises(NoTenantScope):
            ask()


def test_a_row_cannot_be_made_outside_a_scope_without_naming_its_tenant() -> None:
    with pytest.raises(NoTenantScope):
        Member(external_id="m", email="m@example.org")


def test_a_scope_of_one_tenant_cannot_be_opened_inside_anothers() -> None:
    outer = uuid4()

    with tenant_scope(outer):
        with pytest.raises(WrongTenantScope), tenant_scope(uuid4()):
            pass
        assert current_tenant_id() == outer
        assert _settings()["tenant_id"] == str(outer)


def test_a_scope_may_be_opened_again_inside_itself() -> None:
    tenant_id = uuid4()

    with tenant_scope(tenant_id):
        with tenant_scope(tenant_id):
            assert current_tenant_id() == tenant_id
        assert _settings()["tenant_id"] == str(tenant_id)

    with pytest.raises(NoTenantScope):
        current_tenant_id()


def test_a_scope_tells_postgres_its_tenant_and_member_and_nothing_more() -> None:
    tenant_id, member_id = uuid4(), uuid4()

    with tenant_scope(tenant_id, member_id=member_id):
        found = _settings()

    assert found == NOTHING | {"tenant_id": str(tenant_id), "member_id": str(member_id)}


def test_after_the_commit_the_same_connection_knows_nobody() -> None:
    with transaction.atomic():
        before = _pid()
    with tenant_scope(uuid4(), member_id=uuid4(), custody=True), audience_scope([uuid4()]):
        pass

    with transaction.atomic():
        assert _pid() == before
        assert _settings() == NOTHING


def test_after_a_rollback_the_connection_knows_nobody() -> None:
    with tenant_scope(uuid4(), custody=True), audience_scope([uuid4()]):
        transaction.set_rollback(True)

    assert _settings() == NOTHING


def test_after_an_exception_neither_code_nor_connection_knows_anybody() -> None:
    with (
        pytest.raises(Deliberate),
        tenant_scope(uuid4(), member_id=uuid4(), custody=True),
        audience_scope([uuid4()]),
    ):
        raise Deliberate

    assert _settings() == NOTHING
    with pytest.raises(NoTenantScope):
        current_tenant_id()


def test_after_an_error_of_postgres_neither_code_nor_connection_knows_anybody() -> None:
    with (
        pytest.raises(DatabaseError),
        tenant_scope(uuid4(), member_id=uuid4(), custody=True),
        audience_scope([uuid4()]),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1 / 0")

    assert _settings() == NOTHING
    with pytest.raises(NoTenantScope):
        current_tenant_id()


def test_a_pooled_connection_comes_back_knowing_nobody() -> None:
    seen: set[int] = set()
    for _ in range(20):
        with tenant_scope(uuid4(), member_id=uuid4(), custody=True), audience_scope([uuid4()]):
            seen.add(_pid())
        connection.close()
        with transaction.atomic():
            if _pid() in seen:
                assert _settings() == NOTHING
                return
    pytest.fail("the pool never gave a connection again")


def test_a_scope_inside_an_open_transaction_ends_before_that_transaction_does() -> None:
    with transaction.atomic():
        with tenant_scope(uuid4(), member_id=uuid4(), custody=True), audience_scope([uuid4()]):
            pass

        assert _settings() == NOTHING


def test_a_scope_left_by_an_exception_inside_an_open_transaction_is_gone() -> None:
    with transaction.atomic():
        with (
            pytest.raises(Deliberate),
            tenant_scope(uuid4(), member_id=uuid4(), custody=True),
            audience_scope([uuid4()]),
        ):
            raise Deliberate

        assert _settings() == NOTHING


def test_an_inner_scope_does_not_leave_its_member_behind() -> None:
    tenant_id, asker = uuid4(), uuid4()

    with tenant_scope(tenant_id, member_id=asker):
        with tenant_scope(tenant_id, member_id=uuid4()):
            pass
        assert _settings()["member_id"] == str(asker)

    with tenant_scope(tenant_id):
        with tenant_scope(tenant_id, member_id=uuid4()):
            pass
        assert _settings()["member_id"] == ""


def test_custody_ends_with_its_block() -> None:
    with tenant_scope(uuid4()):
        with custody_scope():
            with custody_scope():
                assert _settings()["custody"] == "on"
            assert _settings()["custody"] == "on"
        assert _settings()["custody"] == ""


def test_custody_ends_with_a_block_left_by_an_exception() -> None:
    with tenant_scope(uuid4()):
        with pytest.raises(Deliberate), custody_scope():
            raise Deliberate
        assert _settings()["custody"] == ""


def test_custody_and_audiences_end_when_a_savepoint_inside_them_is_rolled_back() -> None:
    with tenant_scope(uuid4()):
        with custody_scope(), audience_scope([uuid4()]):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
            assert _settings()["custody"] == "on"
        assert (_settings()["custody"], _settings()["audience_ids"]) == ("", "")


def test_custody_and_audiences_end_when_the_savepoint_around_them_is_rolled_back() -> None:
    with tenant_scope(uuid4()):
        with (
            pytest.raises(DatabaseError),
            transaction.atomic(),
            custody_scope(),
            audience_scope([uuid4()]),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT 1 / 0")
        assert (_settings()["custody"], _settings()["audience_ids"]) == ("", "")


def test_an_inner_clearance_replaces_the_outer_one_and_gives_it_back() -> None:
    outer, inner = uuid4(), uuid4()

    with tenant_scope(uuid4()), audience_scope([outer]):
        with audience_scope([inner]):
            assert _settings()["audience_ids"] == f"{{{inner}}}"
        assert _settings()["audience_ids"] == f"{{{outer}}}"


def test_no_audience_is_not_every_audience() -> None:
    with tenant_scope(uuid4()), audience_scope([]):
        assert _settings()["audience_ids"] == "{}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM corpus_chunk")
            assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_cannot_be_made_outside_a_transaction_where_it_would_stay(name: str) -> None:
    with pytest.raises(NoTenantScope):
        set_local(name, str(uuid4()))

    assert _settings() == NOTHING


@pytest.mark.parametrize("open_scope", [custody_scope, lambda: audience_scope([uuid4()])])
def test_custody_and_audiences_need_a_tenant(open_scope: object) -> None:
    with pytest.raises(NoTenantScope), transaction.atomic(), open_scope():  # type: ignore[operator]
        pass


def test_a_tenant_that_does_not_exist_has_nothing_and_can_be_given_nothing() -> None:
    nobody: UUID = uuid4()

    with tenant_scope(nobody, custody=True):
        assert Document.objects.count() == Chunk.objects.count() == Member.objects.count() == 0
    with pytest.raises(DatabaseError), tenant_scope(nobody):
        Member.objects.create(external_id="m", email="m@example.org")
