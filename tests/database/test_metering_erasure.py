"""A person who is erased leaves what was used to the tenant's costs, and nothing of who it was."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import IntegrityError, transaction

from ambit.config.runtime.supervisor import Stack
from ambit.metering.holdings import USES
from ambit.metering.models import Use, UseDay
from tenants.holding import Scope
from tenants.models import Member
from tests.database.metering import Metered, closed, make_metered, opened, sums, used
from tests.database.worlds import working


@pytest.fixture
def metered(database: Stack) -> Metered:
    """Return a tenant whose uses are counted."""
    return make_metered()


def ids_left(superuser: psycopg.Connection, tenant_id: UUID, *ids: UUID) -> int:
    """Count rows of metering that spell an id anywhere, read as the superuser."""
    n = 0
    for one in ids:
        for table in ("metering_use", "metering_useday"):
            found = superuser.execute(
                f"SELECT count(*) FROM {table} t WHERE tenant_id = %s AND t::text LIKE %s",  # noqa: S608 - fixed names
                [tenant_id, f"%{one}%"],
            ).fetchone()
            assert found is not None
            n += found[0]
    return n


def test_who_is_erased_leaves_figures_and_no_id(
    metered: Metered, superuser: psycopg.Connection
) -> None:
    own_key, service_key = uuid4(), uuid4()
    used(metered.tenant_id, metered.alice, key_id=own_key)
    used(metered.tenant_id, metered.alice, key_id=service_key)
    used(metered.tenant_id, metered.bob, key_id=service_key)
    under_way = opened(metered.tenant_id, metered.alice, key_id=own_key)
    before = sums(metered.tenant_id)
    scope = Scope(tenant_id=metered.tenant_id, member_ids=(metered.alice,), key_ids=(own_key,))

    with working(metered.tenant_id, custody=True):
        # Three uses, and two sums of a day: hers by each key.
        assert (USES.find(scope), USES.remains(scope)) == (5, 5)
        USES.destroy(scope)
        assert (USES.find(scope), USES.remains(scope)) == (0, 0)
        USES.destroy(scope)

    assert ids_left(superuser, metered.tenant_id, metered.alice, own_key) == 0
    assert ids_left(superuser, metered.tenant_id, metered.bob) == 2
    assert sums(metered.tenant_id) == before
    # What ends afterwards counts, for nobody.
    closed(metered.tenant_id, under_way)
    assert ids_left(superuser, metered.tenant_id, metered.alice, own_key) == 0
    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses == of_days
    assert (of_uses["requests"], of_months) == (4, 400)


def test_two_who_are_erased_become_one_nobody(metered: Metered) -> None:
    for member_id in (metered.alice, metered.bob):
        used(metered.tenant_id, member_id)
        scope = Scope(tenant_id=metered.tenant_id, member_ids=(member_id,))
        with working(metered.tenant_id, custody=True):
            USES.destroy(scope)

    with working(metered.tenant_id, custody=True):
        (day,) = UseDay.objects.all()
        assert (day.member_id, day.requests, day.prompt_tokens) == (None, 2, 160)


def test_nobody_named_is_nothing_touched(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice)
    scope = Scope(tenant_id=metered.tenant_id)

    with working(metered.tenant_id, custody=True):
        assert (USES.find(scope), USES.remains(scope)) == (0, 0)
        USES.destroy(scope)
        assert Use.objects.get().member_id == metered.alice


def test_postgres_keeps_a_member_whose_uses_still_name_them(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice)

    with (
        working(metered.tenant_id, custody=True),
        pytest.raises(IntegrityError),
        transaction.atomic(),
    ):
        Member.objects.filter(pk=metered.alice).delete()
