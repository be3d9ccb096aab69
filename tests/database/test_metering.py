"""Each use counts once: closed twice, closed by many at once, left by who died."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone
from pytest_django import Settings

from ambit.config.runtime.supervisor import Stack
from ambit.metering.models import Use, UseDay, UseMonth
from ambit.metering.queries import tokens_used
from ambit.metering.services import close_abandoned, forget_old_uses, open_use
from ambit.metering.upkeep import keep_uses
from tenants.audit import Actor, acting_as
from tenants.models import Tenant
from tenants.scope import NoTenantScope, tenant_scope
from tests.database.metering import Metered, closed, make_metered, opened, sums, used
from tests.database.worlds import working

OUTCOMES = ("finished", "cancelled", "failed", "withheld", "stopped")


@pytest.fixture
def metered(database: Stack) -> Metered:
    """Return a tenant whose uses are counted."""
    return make_metered()


def age(tenant_id: UUID, use_id: UUID, **age: float) -> None:
    """Let a use have begun some time ago."""
    with working(tenant_id, custody=True):
        Use.objects.filter(pk=use_id).update(at=timezone.now() - timedelta(**age))


def test_a_use_is_open_until_it_is_closed_and_has_its_figures_then(metered: Metered) -> None:
    key_id = uuid4()
    use_id = opened(metered.tenant_id, metered.alice, key_id=key_id)
    with working(metered.tenant_id, custody=True):
        use = Use.objects.get(pk=use_id)
        assert (use.outcome, use.closed_at, use.member_id, use.key_id) == (
            "",
            None,
            metered.alice,
            key_id,
        )

    closed(metered.tenant_id, use_id, outcome="cancelled", exact=False)

    with working(metered.tenant_id, custody=True):
        use = Use.objects.get(pk=use_id)
        assert (use.prompt_tokens, use.cached_tokens, use.completion_tokens) == (80, 16, 20)
        assert (use.outcome, use.exact, use.closed_at is not None) == ("cancelled", False, True)
        day = UseDay.objects.get()
        assert (day.day, day.member_id, day.key_id, day.kind, day.model) == (
            use.at.date(),
            metered.alice,
            key_id,
            "answer",
            "tiny",
        )
        assert (day.requests, day.unfinished, day.estimated, day.passages, day.retrieval_ms) == (
            1,
            1,
            1,
            3,
            7,
        )


def test_what_is_closed_twice_counts_once_and_with_its_first_figures(metered: Metered) -> None:
    use_id = used(metered.tenant_id, metered.alice)

    closed(metered.tenant_id, use_id, prompt_tokens=5000, outcome="failed")

    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses == of_days
    assert (of_uses["requests"], of_uses["prompt_tokens"], of_months) == (1, 80, 100)


def test_of_many_that_close_the_same_use_at_once_one_counts(metered: Metered) -> None:
    use_id = opened(metered.tenant_id, metered.alice)

    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda n: _in_thread(lambda: closed(metered.tenant_id, use_id, prompt_tokens=n)),
                range(1, 9),
            )
        )

    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses == of_days
    assert of_uses["requests"] == 1
    assert of_months == of_uses["prompt_tokens"] + 20


def test_sums_are_those_of_the_rows_after_any_order_of_open_close_and_death(
    metered: Metered,
) -> None:
    chance = random.Random(7)
    keys = [None, uuid4()]

    def live(n: int) -> None:
        chosen = random.Random(n)
        use_id = opened(
            metered.tenant_id,
            chosen.choice((metered.alice, metered.bob)),
            key_id=chosen.choice(keys),
            kind=chosen.choice(("answer", "chat", "condense")),
            model=chosen.choice(("tiny", "other")),
        )
        for _ in range(chosen.choice((0, 1, 1, 2))):
            closed(
                metered.tenant_id,
                use_id,
                prompt_tokens=chosen.randrange(500),
                completion_tokens=chosen.randrange(500),
                exact=chosen.random() < 0.5,
                outcome=chosen.choice(OUTCOMES),
            )

    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda n: _in_thread(lambda: live(n)),
                [chance.randrange(10**9) for _ in range(40)],
            )
        )
    with working(metered.tenant_id, custody=True):
        Use.objects.filter(outcome="").update(at=timezone.now() - timedelta(hours=2))
        left = Use.objects.filter(outcome="").count()
    with working(metered.tenant_id):
        assert close_abandoned() == left

    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses["requests"] == 40
    assert 0 < left < 40
    assert of_uses == of_days
    assert of_months == of_uses["prompt_tokens"] + of_uses["completion_tokens"]


def test_what_was_left_open_counts_once_by_its_estimate(metered: Metered) -> None:
    left, under_way = (opened(metered.tenant_id, metered.alice) for _ in range(2))
    age(metered.tenant_id, left, hours=1)

    with working(metered.tenant_id):
        assert close_abandoned() == 1
        assert close_abandoned() == 0
    closed(metered.tenant_id, left, prompt_tokens=1)

    with working(metered.tenant_id, custody=True):
        use = Use.objects.get(pk=left)
        assert (use.outcome, use.exact, use.prompt_tokens, use.completion_tokens) == (
            "abandoned",
            False,
            100,
            0,
        )
        assert Use.objects.get(pk=under_way).outcome == ""
    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses == of_days
    assert (of_days["requests"], of_days["unfinished"], of_days["estimated"]) == (1, 1, 1)
    assert of_months == 100


def test_a_use_whose_transaction_fails_was_never_opened(metered: Metered) -> None:
    with pytest.raises(ZeroDivisionError), working(metered.tenant_id):
        open_use(
            member_id=metered.alice,
            key_id=None,
            kind="chat",
            model="tiny",
            passages=0,
            retrieval_ms=0,
            prompt_estimate=5,
        )
        raise ZeroDivisionError

    with working(metered.tenant_id, custody=True):
        assert not Use.objects.exists()


def test_figures_that_no_row_holds_are_cut_to_what_it_does(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice, prompt_tokens=10**18, completion_tokens=-5)

    of_uses, of_days, of_months = sums(metered.tenant_id)
    assert of_uses == of_days
    assert of_months == 2**31 - 1


def test_the_months_tokens_are_what_is_over_and_estimates_of_what_is_not(metered: Metered) -> None:
    for _ in range(3):
        used(metered.tenant_id, metered.alice)
    opened(metered.tenant_id, metered.bob, prompt_estimate=7)
    with working(metered.tenant_id, custody=True):
        UseMonth.objects.create(month="2020-01-01", shard=0, requests=1, tokens=10**9)

    with working(metered.tenant_id):
        assert tokens_used() == 307


def test_what_the_month_has_used_is_read_from_a_few_rows_however_many_uses_there_were(
    metered: Metered,
) -> None:
    for _ in range(40):
        used(metered.tenant_id, metered.alice)
    with working(metered.tenant_id, custody=True):
        assert UseMonth.objects.count() <= 8
        with connection.cursor() as cursor:
            cursor.execute(
                "EXPLAIN (FORMAT text) SELECT sum(prompt_estimate) FROM metering_use"
                " WHERE tenant_id = %s AND outcome = ''",
                [metered.tenant_id],
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "use_open" in plan


def test_old_single_uses_go_and_their_sums_stay(metered: Metered, settings: Settings) -> None:
    settings.AMBIT_USES_DAYS = 30
    old, recent = (used(metered.tenant_id, metered.alice) for _ in range(2))
    left = opened(metered.tenant_id, metered.alice)
    for use_id, days in ((old, 31), (recent, 29), (left, 31)):
        age(metered.tenant_id, use_id, days=days)
    before = sums(metered.tenant_id)[1:]

    with working(metered.tenant_id):
        assert forget_old_uses() == 1

    with working(metered.tenant_id, custody=True):
        assert set(Use.objects.values_list("pk", flat=True)) == {recent, left}
    assert sums(metered.tenant_id)[1:] == before


def test_nothing_is_opened_or_read_outside_a_tenant(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice)

    with pytest.raises(NoTenantScope), transaction.atomic():
        open_use(
            member_id=metered.alice, key_id=None, kind="answer", model="m",
            passages=0, retrieval_ms=0, prompt_estimate=0,
        )  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("use", "useday", "usemonth", "limit"):
            cursor.execute(f"SELECT count(*) FROM metering_{table}")  # noqa: S608 - fixed names
            assert cursor.fetchone() == (0,)


def test_another_tenant_closes_nothing_and_sees_nothing(metered: Metered) -> None:
    other = make_metered()
    use_id = opened(metered.tenant_id, metered.alice)

    closed(other.tenant_id, use_id)

    assert sums(other.tenant_id)[0]["requests"] == 0
    with working(metered.tenant_id, custody=True):
        assert Use.objects.get(pk=use_id).outcome == ""
    with working(other.tenant_id, custody=True):
        assert not Use.objects.filter(pk=use_id).exists()
        assert tokens_used() == 0


def test_a_member_sees_its_own_uses_alone(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice)
    used(metered.tenant_id, metered.bob)

    with tenant_scope(metered.tenant_id, member_id=metered.alice):
        assert {use.member_id for use in Use.objects.all()} == {metered.alice}
        assert {day.member_id for day in UseDay.objects.all()} == {metered.alice}
    with tenant_scope(metered.tenant_id):
        assert not Use.objects.exists()
        assert not UseDay.objects.exists()


def test_upkeep_closes_what_was_left_open_in_every_tenant_and_forgets_what_is_old(
    metered: Metered, settings: Settings
) -> None:
    settings.AMBIT_USES_DAYS = 10
    other, ended = make_metered(), make_metered()
    left = [opened(one.tenant_id, one.alice) for one in (metered, other, ended)]
    for one, use_id in zip((metered, other, ended), left, strict=True):
        age(one.tenant_id, use_id, hours=1)
    old = used(other.tenant_id, other.bob)
    age(other.tenant_id, old, days=11)
    with acting_as(Actor("operator", None)):
        Tenant.objects.using("operator").filter(pk=ended.tenant_id).update(
            closing_at=timezone.now()
        )

    # Other tests' tenants may have something to be kept as well.
    kept = keep_uses()

    assert kept.n_abandoned >= 2
    assert kept.n_forgotten >= 1
    for one in (metered, other):
        _, of_days, of_months = sums(one.tenant_id)
        assert of_days["estimated"] == 1
        assert of_months == of_days["prompt_tokens"] + of_days["completion_tokens"]
    with working(other.tenant_id, custody=True):
        assert not Use.objects.filter(pk=old).exists()
    with tenant_scope(ended.tenant_id, custody=True):
        assert Use.objects.get().outcome == ""


def test_the_dispatcher_reads_when_and_of_which_tenant_and_nothing_else(metered: Metered) -> None:
    used(metered.tenant_id, metered.alice)

    for column in ("member_id", "key_id", "model", "prompt_tokens"):
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(using="dispatch"),
            connections["dispatch"].cursor() as cursor,
        ):
            cursor.execute(f"SELECT {column} FROM metering_use")  # noqa: S608 - fixed names


def _in_thread(work: object) -> None:
    try:
        work()  # type: ignore[operator]
    finally:
        connection.close()
