"""A tenant's own retention: what is older than its time goes as a case of erasure, and nothing else does.

1. Without a policy, or with an empty one, nothing goes by age. A number that is none is refused, and changes nothing.
2. Nothing goes that a hold or a restriction is on, nor what would take that along, nor anything of a tenant that ends
   or is suspended. What is released goes in the next round.
3. Nothing younger than its time goes; a document's time is its newest version's. A round that cannot trust the clock
   destroys nothing for a day.
4. A round makes at most one case of each class, of a bounded number, none while one is open, none twice; it is one
   transaction. There is work where there is a policy, and nowhere else.
5. What destroys sooner counts a day later and can be taken back; what keeps longer at once. Each change is an event.
6. One tenant's policy touches nothing of another's.
7. Such a case says what it is; it has no due date and no alarm; recipients hear of documents alone.
8. Its tombstone names what it destroyed, so that a restore brings nothing of it back.
9. Policies end with their tenant: tests/database/test_offboarding.py, whose towns have one.

3 is in tests/database/test_retention_clock.py, 4, 7 and 8 are in tests/database/test_retention_cases.py.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from ambit.corpus.models import Document
from ambit.corpus.types import SubjectRef
from ambit.erasure.models import RetentionPolicy
from ambit.erasure.retention import DaysOutOfRange, set_retention
from tenants.models import AuditEvent, Tenant
from tests.database.erasures import (
    Town,
    ask,
    documents_seen,
    inhabit,
    keep_from_workers,
    work_on,
)
from tests.database.exporting import archive_of, ask_for, make, part, settle
from tests.database.holding import hold, release, restrict
from tests.database.retaining import (
    age_answers,
    age_documents,
    answers_left,
    cases_of,
    covered_by,
    go_round,
    keep_for,
    policy_of,
    retention_of,
    take_round,
)
from tests.database.worlds import working


@pytest.fixture
def town(_database: None) -> Town:
    return inhabit(n_chunks=1)


def test_without_a_policy_nothing_goes_however_old(town: Town) -> None:
    age_documents(town, 40_000, *town.everything)
    age_answers(town, 40_000, *town.answers)
    before = documents_seen(town)

    assert go_round(town) == []
    keep_for(town)

    assert go_round(town) == []
    assert documents_seen(town) == before == town.everything
    found = retention_of(town)
    assert [(one.days, one.n_due) for one in found.classes.values()] == [(None, None)] * 2
    assert found.next_round_at is None


def test_a_policy_that_is_taken_back_leaves_no_work(town: Town) -> None:
    keep_for(town, answers=30)
    keep_for(town, answers=None)

    assert go_round(town) == []
    assert take_round(town) is None


def test_a_number_that_is_none_is_refused_and_changes_nothing(town: Town) -> None:
    keep_for(town, answers=30)

    for days in (0, -1, 36_526, 10**12, True):
        with pytest.raises(DaysOutOfRange), working(town.tenant_id):
            set_retention(days={"answers": 5, "documents": days})

    assert retention_of(town).classes["answers"].days == 30


def test_what_is_held_or_restricted_stays_and_goes_once_it_is_released(town: Town) -> None:
    held, restricted, free = town.about_bob, town.about_namesake, town.uploaded_by_alice
    age_documents(town, 50, held, restricted, free)
    placed, limited = hold(town, documents=[held]), restrict(town, [restricted])
    keep_for(town, documents=30)
    assert retention_of(town).classes["documents"].n_due == 1

    (case_id,) = go_round(town)

    assert covered_by(town, case_id, "document") == {free}
    assert work_on(town.tenant_id, case_id).state == "closed"
    release(town, placed)
    release(town, limited)
    assert retention_of(town).classes["documents"].n_due == 2
    (case_id,) = go_round(town)
    assert covered_by(town, case_id, "document") == {held, restricted}


def test_a_restriction_keeps_a_document_also_where_nothing_hides_it(town: Town) -> None:
    age_documents(town, 50, town.about_bob, town.about_namesake)
    restrict(town, [town.about_bob])
    with working(town.tenant_id, custody=True):
        shown = Document.objects.filter(pk=town.about_bob)
        assert shown.update(hidden_at=None, withheld_at=None) == 1
    keep_for(town, documents=30)

    (case_id,) = go_round(town)

    assert covered_by(town, case_id, "document") == {town.about_namesake}


def test_answers_of_a_held_member_or_of_a_held_document_stay_with_the_documents_behind_them(
    town: Town,
) -> None:
    of_bob, of_alice, free = (
        town.answers[1],
        town.answers[0],
        ask(town.tenant_id, town.namesake, set()),
    )
    by_itself = ask(town.tenant_id, town.bob, set())
    age_documents(town, 50, *town.everything)
    age_answers(town, 50, *town.answers, free, by_itself)
    hold(town, subject=SubjectRef("member", str(town.bob)))
    restrict(town, [town.about_alice[0]])
    keep_for(town, documents=30, answers=30)

    made = {kind: set[UUID]() for kind in ("document", "answer")}
    for case_id in go_round(town):
        for kind in made:
            made[kind] |= covered_by(town, case_id, kind)

    # Bob's answer was made from the second, which declares Bob too; the restricted one's is Alice's.
    assert made["answer"] == {town.answers[2], free}
    assert {of_bob, of_alice, by_itself} <= answers_left(town)
    assert made["document"] == {town.uploaded_by_alice, town.about_namesake, town.about_alice[2]}


def test_a_document_goes_not_where_an_answer_of_a_held_member_would_go_with_it(town: Town) -> None:
    age_documents(town, 50, town.about_namesake, town.uploaded_by_alice)
    ask(town.tenant_id, town.bob, {town.about_namesake})
    hold(town, subject=SubjectRef("member", str(town.bob)))
    keep_for(town, documents=30)

    (case_id,) = go_round(town)

    assert covered_by(town, case_id, "document") == {town.uploaded_by_alice}


@pytest.mark.parametrize("column", ["closing_at", "suspended_at"])
def test_of_a_tenant_that_ends_or_is_suspended_nothing_goes(town: Town, column: str) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    Tenant.objects.using("operator").filter(pk=town.tenant_id).update(**{column: timezone.now()})

    assert go_round(town) == []
    assert answers_left(town) >= set(town.answers)


def test_what_destroys_sooner_counts_a_day_later_and_can_be_taken_back(town: Town) -> None:
    age_answers(town, 50, *town.answers)
    with working(town.tenant_id):
        first = set_retention(days={"answers": 30})
        keep_from_workers()

    shown = first.classes["answers"]
    assert (shown.days, shown.next_days, shown.n_due, shown.n_due_next) == (None, 30, None, 3)
    assert shown.effective_at is not None
    assert timedelta(hours=23) < shown.effective_at - timezone.now() <= timedelta(hours=24)
    assert go_round(town) == []
    keep_for(town, at_once=False)
    assert retention_of(town).classes["answers"].next_days is None
    assert go_round(town) == []


def test_the_same_wish_again_does_not_begin_its_day_anew(town: Town) -> None:
    keep_for(town, at_once=False, answers=30)
    before = policy_of(town, "answers").effective_at
    keep_for(town, at_once=False, answers=30)

    assert policy_of(town, "answers").effective_at == before


def test_what_keeps_longer_counts_at_once(town: Town) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    assert retention_of(town).classes["answers"].days == 30
    keep_for(town, at_once=False, answers=60)

    shown = retention_of(town).classes["answers"]
    assert (shown.days, shown.next_days, shown.n_due) == (60, None, 0)
    keep_for(town, at_once=False, answers=40)
    keep_for(town, at_once=False, answers=60)
    shown = retention_of(town).classes["answers"]
    assert (shown.days, shown.next_days) == (60, None)
    assert go_round(town) == []


def test_each_change_is_an_event_with_the_days_of_before_and_after(town: Town) -> None:
    keep_for(town, answers=30)
    keep_for(town, answers=30)
    keep_for(town, answers=60, documents=400)

    with working(town.tenant_id):
        events = AuditEvent.objects.filter(action="retention.changed").order_by("at", "id")
        told = [(event.actor_kind, event.counts) for event in events]
    assert told == [
        ("service", {"answers_days_before": 0, "answers_days": 30}),
        ("service", {"documents_days_before": 0, "documents_days": 400}),
        ("service", {"answers_days_before": 30, "answers_days": 60}),
    ]


def test_one_tenants_policy_touches_nothing_of_another(town: Town) -> None:
    other = inhabit(n_chunks=1)
    for one in (town, other):
        age_documents(one, 50, *one.everything)
        age_answers(one, 50, *one.answers)
    keep_for(town, documents=30, answers=30)

    go_round(town)
    go_round(other)

    assert documents_seen(town) == set()
    assert documents_seen(other) == other.everything
    assert cases_of(other) == []
    assert retention_of(other).classes["documents"].days is None
    with working(other.tenant_id):
        assert RetentionPolicy.objects.count() == 0


def test_a_persons_archive_says_for_how_long_things_are_kept(_database: None) -> None:
    place = settle()
    with working(place.tenant_id):
        set_retention(days={"answers": 90})
        RetentionPolicy.objects.filter(data_class="answers").update(days=90)
        keep_from_workers()
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    documents, answers, *_ = part(archive_of(place.tenant_id, export_id), "about.json")["retention"]

    assert documents.endswith("until they are deleted or erased.")
    assert "at most 90 days after they were asked for" in answers
