"""Nothing younger than its time goes by age, and nothing by a clock that cannot be trusted."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from ambit.corpus.services import receive_version
from ambit.erasure import retention, rounds
from ambit.erasure.models import RetentionPolicy
from tenants.audit import record
from tests.database.erasures import (
    Town,
    documents_seen,
    inhabit,
    keep_from_workers,
)
from tests.database.holding import letter
from tests.database.retaining import (
    age_answers,
    age_documents,
    cases_of,
    covered_by,
    go_round,
    keep_for,
    retention_of,
    take_round,
)
from tests.database.worlds import working
from workers.erase.retain import retain


@pytest.fixture
def town(_database: None) -> Town:
    return inhabit(n_chunks=1)


def set_clock(town: Town, **columns: datetime | None) -> None:
    """Let the last round, or a pause, have been at another time."""
    with working(town.tenant_id):
        RetentionPolicy.objects.update(**columns)


def test_only_what_is_older_than_its_time_goes(town: Town) -> None:
    old, young = town.answers[0], town.answers[1]
    age_answers(town, 30.01, old)
    age_answers(town, 29.99, young)
    age_documents(town, 90.01, town.about_bob)
    age_documents(town, 89.99, town.about_namesake)
    keep_for(town, answers=30, documents=90)

    documents, answers = go_round(town)

    assert covered_by(town, documents, "document") == {town.about_bob}
    assert covered_by(town, answers, "answer") == {old}
    assert documents_seen(town) == town.everything - {town.about_bob}


def test_a_documents_time_is_that_of_its_newest_version(town: Town) -> None:
    age_documents(town, 50, town.about_bob, town.about_namesake)
    with working(town.tenant_id):
        receive_version(document_id=town.about_bob, upload=letter())
        keep_from_workers()
    keep_for(town, documents=30)

    (case_id,) = go_round(town)

    assert covered_by(town, case_id, "document") == {town.about_namesake}


def test_what_is_renewed_between_being_found_and_being_locked_is_left(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    age_documents(town, 50, town.about_bob, town.about_namesake)
    age_answers(town, 50, *town.answers)
    keep_for(town, documents=30, answers=30)
    lock = rounds._lock

    def meanwhile(name: retention.DataClass, ids: object) -> None:
        """Do what somebody does who commits right before the locks are had."""
        if name == "documents":
            age_documents(town, 1, town.about_bob)
        else:
            age_answers(town, 1, town.answers[0])
        lock(name, ids)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(rounds, "_lock", meanwhile)

    documents, answers = go_round(town)

    assert covered_by(town, documents, "document") == {town.about_namesake}
    assert town.answers[0] not in covered_by(town, answers, "answer")


def test_a_clock_that_jumped_destroys_nothing_for_a_day(town: Town) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    # A year ahead, over a day late, put back a little, put back far.
    for hours in (-365 * 24, -31, 0.1, 365 * 24):
        looked_at = timezone.now() + timedelta(hours=hours)
        set_clock(town, looked_at=looked_at, paused_until=None)

        assert go_round(town) == [], hours
        assert go_round(town) == [], hours

        paused = retention_of(town).classes["answers"].paused_until
        assert paused is not None, hours
        assert timedelta(hours=23) < paused - timezone.now() <= timedelta(hours=24)
    set_clock(town, paused_until=timezone.now() - timedelta(seconds=1))
    assert len(go_round(town)) == 1
    assert retention_of(town).classes["answers"].paused_until is None


def test_a_policy_of_which_nobody_knows_when_a_round_last_looked_destroys_nothing(
    town: Town,
) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    set_clock(town, looked_at=None)

    assert go_round(town) == []


def test_a_clock_behind_the_tenants_newest_event_destroys_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    ahead = timezone.now() + timedelta(hours=2)
    with monkeypatch.context() as before, working(town.tenant_id):
        before.setattr(timezone, "now", lambda: ahead)
        record("answer.given")

    assert go_round(town) == []
    assert retention_of(town).classes["answers"].paused_until is not None


def test_two_machines_whose_clocks_differ_destroy_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    now = timezone.now()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(timezone, "now", lambda: now + timedelta(minutes=6))
        held = take_round(town)
        assert held is not None
        retain(held)

    assert cases_of(town) == []
