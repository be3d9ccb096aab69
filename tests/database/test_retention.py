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
9. Policies end with their tenant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.config.restored import NotReplayed, require_replayed
from ambit.corpus.services import receive_version
from ambit.corpus.types import SubjectRef
from ambit.erasure import retention, rounds
from ambit.erasure.clock import NoClock, extend_erasure
from ambit.erasure.models import Erasure, RetentionPolicy
from ambit.erasure.printed import print_receipt
from ambit.erasure.queries import get_receipt_note, list_erasures
from ambit.erasure.replay import replay_tombstones
from ambit.erasure.retention import DaysOutOfRange, next_night, set_retention
from ambit.erasure.tombstones import DISPATCH, begin_ledger, known_place
from ambit.erasure.types import RETENTION
from ambit.jobs.kinds import ERASURE_ALARM
from ambit.jobs.kinds import RETENTION as ROUND
from ambit.jobs.models import Job
from ambit.notices.models import Notice
from ambit.notices.services import create_webhook
from ambit.tombstones import ledger
from ambit.tombstones.ledger import NOWHERE, Tombstone
from tenants.audit import record
from tenants.models import AuditEvent, Tenant
from tests.database.erasures import (
    Town,
    ask,
    counts,
    documents_seen,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    view_of,
    work_on,
)
from tests.database.holding import hold, letter, release, restrict
from tests.database.private import PrivateDatabase
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
from workers.erase.retain import retain


@pytest.fixture
def town(_database: None) -> Town:
    return inhabit(n_chunks=1)


def opens(town: Town, answer_id: UUID, *, by: UUID) -> bool:
    """Say whether an asker still gets a saved answer."""
    with working(town.tenant_id):
        try:
            get_answer(answer_id=answer_id, clearance=clearance_for(member_id=by))
        except AnswerNotFound:
            return False
        return True


def set_clock(town: Town, **columns: datetime | None) -> None:
    """Let the last round, or a pause, have been at another time."""
    with working(town.tenant_id):
        RetentionPolicy.objects.update(**columns)


# 1.


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


@pytest.mark.parametrize("days", [0, -1, 36_526, 10**12, True])
def test_a_number_that_is_none_is_refused_and_changes_nothing(town: Town, days: int) -> None:
    keep_for(town, answers=30)

    with pytest.raises(DaysOutOfRange), working(town.tenant_id):
        set_retention(days={"answers": 5, "documents": days})

    assert retention_of(town).classes["answers"].days == 30


# 2.


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


def test_answers_of_a_held_member_or_of_a_held_document_stay_with_the_documents_behind_them(
    town: Town,
) -> None:
    of_bob, of_alice, free = (
        town.answers[1],
        town.answers[0],
        ask(town.tenant_id, town.namesake, set()),
    )
    age_documents(town, 50, *town.everything)
    age_answers(town, 50, *town.answers, free)
    hold(town, subject=SubjectRef("member", str(town.bob)))
    restrict(town, [town.about_alice[0]])
    keep_for(town, documents=30, answers=30)

    made = {kind: set[UUID]() for kind in ("document", "answer")}
    for case_id in go_round(town):
        for kind in made:
            made[kind] |= covered_by(town, case_id, kind)

    # Bob's answer was made from the second, which declares Bob too; the restricted one's is Alice's.
    assert made["answer"] == {town.answers[2], free}
    assert {of_bob, of_alice} <= answers_left(town)
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


# 3.


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


@pytest.mark.parametrize(
    "looked",
    [
        timedelta(days=-365),
        timedelta(hours=-31),
        timedelta(minutes=6),
        timedelta(days=365),
    ],
    ids=["a year ahead", "over a day late", "put back", "put back far"],
)
def test_a_clock_that_jumped_destroys_nothing_for_a_day(town: Town, looked: timedelta) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    set_clock(town, looked_at=timezone.now() + looked)

    assert go_round(town) == []
    assert go_round(town) == []

    paused = retention_of(town).classes["answers"].paused_until
    assert paused is not None
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


# 4.


def test_a_round_takes_a_bounded_part_and_the_next_one_the_rest(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "BATCH", 2)
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)

    (first,) = go_round(town)
    with working(town.tenant_id):
        again = Job.objects.get(name=ROUND.name)
    assert again.attempts == 0
    assert len(covered_by(town, first, "answer")) == 2
    # The first is open: nothing more is made.
    assert go_round(town) == []
    work_on(town.tenant_id, first)
    (second,) = go_round(town)

    assert len(covered_by(town, second, "answer")) == 1
    work_on(town.tenant_id, second)
    assert answers_left(town).isdisjoint(town.answers)
    assert go_round(town) == []


def test_a_thousand_is_the_bound() -> None:
    assert rounds.BATCH == 1000


def test_no_thing_is_covered_by_two_cases(town: Town) -> None:
    age_documents(town, 50, *town.everything)
    age_answers(town, 50, *town.answers)
    keep_for(town, documents=30, answers=30)

    documents, answers = go_round(town)

    assert covered_by(town, documents, "answer") == {town.answers[0], town.answers[1]}
    assert covered_by(town, answers, "answer") == {town.answers[2]}


def test_what_a_persons_erasure_covers_is_left_to_it(town: Town) -> None:
    case_id = file_for(town)
    age_documents(town, 50, *town.everything)
    age_answers(town, 50, *town.answers)
    keep_for(town, documents=30, answers=30)

    (made,) = go_round(town)

    theirs = covered_by(town, case_id, "document") | covered_by(town, case_id, "answer")
    assert theirs.isdisjoint(covered_by(town, made, "document"))
    assert theirs.isdisjoint(covered_by(town, made, "answer"))


def test_a_worker_that_dies_in_a_round_has_done_nothing_of_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    age_documents(town, 50, town.about_bob)
    age_answers(town, 50, *town.answers)
    keep_for(town, documents=30, answers=30)
    held = take_round(town)
    assert held is not None

    def killed(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("workers.erase.retain.put_back", killed)
        with pytest.raises(KeyboardInterrupt):
            retain(held)

    assert cases_of(town) == []
    assert documents_seen(town) == town.everything
    assert opens(town, town.answers[2], by=town.alice)
    assert len(go_round(town)) == 2


def test_there_is_work_for_tenants_with_a_policy_alone(town: Town) -> None:
    other = inhabit(n_chunks=1)
    keep_for(town, answers=30)

    for one, there in ((town, True), (other, False)):
        with working(one.tenant_id):
            assert Job.objects.filter(name=ROUND.name).exists() is there


def test_rounds_of_all_tenants_begin_at_one_hour_of_the_night() -> None:
    now = datetime(2026, 5, 4, 1, 59, 59, tzinfo=UTC)

    assert next_night(now) == datetime(2026, 5, 4, 2, tzinfo=UTC)
    assert next_night(next_night(now)) == datetime(2026, 5, 5, 2, tzinfo=UTC)


def test_a_round_that_a_wrong_clock_put_off_comes_again_once_the_page_is_saved(town: Town) -> None:
    keep_for(town, answers=30)
    with working(town.tenant_id):
        Job.objects.filter(name=ROUND.name).update(run_after=timezone.now() + timedelta(days=365))
        found = set_retention(days={"answers": 30})
        keep_from_workers()

    assert found.next_round_at is not None
    assert found.next_round_at - timezone.now() <= timedelta(days=1)


# 5.


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


# 6.


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


# 7.


def test_nobody_reads_an_answer_from_the_rounds_commit_on(town: Town) -> None:
    age_answers(town, 50, town.answers[2])
    keep_for(town, answers=30)
    assert opens(town, town.answers[2], by=town.alice)

    go_round(town)

    assert not opens(town, town.answers[2], by=town.alice)
    assert town.answers[2] in answers_left(town)
    assert opens(town, town.answers[0], by=town.alice)


def test_a_case_by_age_ends_with_a_receipt_that_says_so(town: Town) -> None:
    age_documents(town, 50, town.about_bob)
    age_answers(town, 50, town.answers[2])
    keep_for(town, documents=30, answers=30)

    cases = go_round(town)
    for case_id in cases:
        view = work_on(town.tenant_id, case_id)
        assert (view.state, view.subject_type, view.requested_by_kind) == (
            "closed",
            RETENTION,
            RETENTION,
        )

    documents, answers = (receipt_of(town.tenant_id, case_id) for case_id in cases)
    assert counts(documents, "destroyed")["documents"] == 1
    assert counts(answers, "destroyed")["answers"] == 1
    assert town.answers[2] not in answers_left(town)
    for said, words in (
        (documents, "Documents whose newest"),
        (answers, "Answers that were asked"),
    ):
        assert (said["outcome"], said["complete"], said["due_at"]) == ("destroyed", True, None)
        assert said["subject"] == {"type": "retention", "hash": None}
        (line,) = [one for one in said["limits"] if "older than the tenant keeps it" in one]
        assert words in line
        assert "kept for 30 days" in line
    assert policy_of(town, "answers").last_case_id == cases[1]
    with working(town.tenant_id):
        assert print_receipt(get_receipt_note(erasure_id=cases[0])).startswith(b"%PDF")
        listed = {
            by_age: list_erasures(after=None, limit=9, by_age=by_age) for by_age in (True, False)
        }
    assert {one.id for one in listed[True]} == set(cases)
    assert listed[False] == []


def test_a_case_by_age_has_no_due_date_no_alarm_and_no_extension(town: Town) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)

    (case_id,) = go_round(town)

    view = view_of(town.tenant_id, case_id)
    assert (view.due_at, view.clock) == (None, "none")
    with working(town.tenant_id):
        assert not Job.objects.filter(name=ERASURE_ALARM.name, object_id=case_id).exists()
        with pytest.raises(NoClock):
            extend_erasure(erasure_id=case_id, reason="more time")
    assert work_on(town.tenant_id, case_id).clock == "ended"


def test_recipients_hear_of_documents_that_went_and_not_of_answers(town: Town) -> None:
    with working(town.tenant_id):
        create_webhook(
            name="Archive Ltd",
            url="https://hooks.example.test/ambit",
            events=["document.erased", "erasure.closed"],
        )
    age_documents(town, 50, town.about_bob)
    age_answers(town, 50, town.answers[2])
    keep_for(town, documents=30, answers=30)

    documents, answers = go_round(town)
    for case_id in (documents, answers):
        work_on(town.tenant_id, case_id)

    with working(town.tenant_id):
        told = {
            case: sorted(Notice.objects.filter(object_id=case).values_list("event", flat=True))
            for case in (documents, answers)
        }
    assert told == {documents: ["document.erased", "erasure.closed"], answers: []}


# 8.


def test_a_tombstone_names_the_answers_and_a_restore_hides_them_again(
    bare: PrivateDatabase,
) -> None:
    begin_ledger()
    town = inhabit(n_chunks=1)
    back = town.answers[2]
    said = Tombstone("case", town.tenant_id, back, answer_ids=(back,), by_age=True)
    with ledger.opened(may_make=False) as book:
        book.read_after(known_place(using=DISPATCH))
        book.add(said)
    with pytest.raises(NotReplayed, match="1 tombstones are not replayed"):
        require_replayed()

    replay_tombstones()

    require_replayed()
    assert not opens(town, back, by=town.alice)
    assert opens(town, town.answers[0], by=town.alice)
    (case_id,) = cases_of(town)
    with working(town.tenant_id):
        keep_from_workers()
        assert Erasure.objects.get(pk=case_id).due_at is None
    assert work_on(town.tenant_id, case_id).repeats == back
    assert back not in answers_left(town)


def test_after_a_restore_nothing_goes_by_age_for_a_day(bare: PrivateDatabase) -> None:
    begin_ledger()
    town = inhabit(n_chunks=1)
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)

    replay_tombstones()

    assert go_round(town) == []
    assert retention_of(town).classes["answers"].paused_until is not None


def test_the_line_of_a_round_names_what_went_and_that_it_went_by_age(town: Town) -> None:
    age_answers(town, 50, *town.answers)
    keep_for(town, answers=30)
    (case_id,) = go_round(town)
    work_on(town.tenant_id, case_id)

    lines = [line.tombstone for line in ledger.read_after(NOWHERE)]
    (said,) = [one for one in lines if one.object_id == case_id]
    assert set(said.answer_ids) == set(town.answers)
    assert (said.by_age, said.document_ids, said.member_ids) == (True, (), ())


# 9. tests/database/test_offboarding.py, whose towns have a policy.
