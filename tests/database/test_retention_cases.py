"""A round makes a case of erasure like any other: bounded, once, and with a tombstone and a receipt that say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.admin.queries import open_erasures
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.audit.flow import trail_signer
from ambit.audit.receipts import Findings, read_receipt
from ambit.audit.verifier import _told_of
from ambit.audit.verify import Key
from ambit.config.restored import NotReplayed, require_replayed
from ambit.erasure import rounds
from ambit.erasure.clock import NoClock, extend_erasure
from ambit.erasure.models import Erasure
from ambit.erasure.printed import print_receipt
from ambit.erasure.queries import get_receipt_note, list_erasures
from ambit.erasure.replay import replay_tombstones
from ambit.erasure.retention import next_night, set_retention
from ambit.erasure.tombstones import DISPATCH, begin_ledger, is_known, known_place
from ambit.erasure.types import RETENTION
from ambit.jobs.kinds import ERASURE_ALARM
from ambit.jobs.kinds import RETENTION as ROUND
from ambit.jobs.models import Job
from ambit.notices.models import Notice
from ambit.notices.services import create_webhook
from ambit.tombstones import ledger
from ambit.tombstones.ledger import NOWHERE, Tombstone
from tests.database.erasures import (
    Town,
    counts,
    documents_seen,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    view_of,
    work_on,
)
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
        note = get_receipt_note(erasure_id=cases[0])
        assert print_receipt(note).startswith(b"%PDF")
        read = read_receipt(note, Key.read(trail_signer().key))
        assert "by age: destroyed" in "".join(_told_of([Findings(read)]))
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
        # Of people's requests none is open, on the page that counts them.
        assert (open_erasures().n_open, open_erasures().due_soon) == (0, ())
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
    assert is_known(said)


def test_a_line_that_names_more_answers_than_the_case_here_covers_is_not_known(town: Town) -> None:
    covered, other = town.answers[2], town.answers[0]
    age_answers(town, 50, covered)
    keep_for(town, answers=30)
    (case_id,) = go_round(town)

    for answers, known in (((covered,), True), ((covered, other), False), ((other,), False)):
        said = Tombstone("case", town.tenant_id, case_id, answer_ids=answers, by_age=True)
        assert is_known(said) is known
