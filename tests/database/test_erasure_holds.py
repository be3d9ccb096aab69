"""Holds and restrictions: what is held nobody reads and nothing destroys, whatever comes when."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import psycopg
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.models import Document, DocumentKey
from ambit.corpus.types import SubjectRef
from ambit.erasure.clock import ErasureOver, extend_erasure
from ambit.erasure.reasons import ReasonMissing
from ambit.erasure.restrictions import (
    BeingErased,
    HoldNotFound,
    NothingToRestrict,
    RestrictionNotFound,
    ReviewNotAhead,
    UnknownBasis,
    get_restriction,
    lift,
    list_restrictions,
    place_hold,
)
from ambit.files.store import list_files
from ambit.jobs.kinds import ERASE, ERASURE_ALARM
from ambit.jobs.models import Job
from tenants.models import Account, ApiKey, AuditEvent, Member
from tests.database.erasures import (
    Town,
    documents_seen,
    email_of,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    view_of,
    work_on,
)
from tests.database.holding import (
    LATER,
    Undo,
    content_of,
    doors_that_open,
    hold,
    release,
    restrict,
    work_on_until,
)
from tests.database.worlds import Passage, publish, random_vectors, working


@pytest.fixture
def town() -> Town:
    return inhabit()


def test_the_doors_open_to_who_may_read(town: Town) -> None:
    every = {
        "search", "list", "visible", "readers together", "key", "record", "original", "text",
        "deletion", "new version", "retry",
    }  # fmt: skip

    assert set(doors_that_open(town, town.about_bob)) == every


@pytest.mark.parametrize("place", ["hold", "restriction", "both"])
def test_what_is_held_or_restricted_opens_no_door_and_loses_nothing(
    town: Town, superuser: psycopg.Connection, place: str
) -> None:
    one = town.about_alice[1]
    before = content_of(superuser, town, one)
    if place != "restriction":
        hold(town, documents=[one])
    if place != "hold":
        restrict(town, [one])

    assert doors_that_open(town, one) == []
    assert documents_seen(town) == town.everything - {one}
    assert content_of(superuser, town, one) == before
    with working(town.tenant_id), pytest.raises(AnswerNotFound):
        get_answer(answer_id=town.answers[1], clearance=clearance_for(member_id=town.bob))


def test_a_held_document_is_not_destroyed_and_the_rest_of_the_case_is(
    town: Town, superuser: psycopg.Connection
) -> None:
    held, *others = town.about_alice
    hold(town, documents=[held], basis="b")
    before = content_of(superuser, town, held)
    case_id = file_for(town)

    view = work_on_until(town, case_id, "held")

    assert content_of(superuser, town, held) == before
    assert doors_that_open(town, held) == []
    for other in others:
        assert list_files(tenant_id=town.tenant_id, document_id=other) == []
    with working(town.tenant_id):
        assert not Member.objects.filter(pk=town.alice).exists()
        assert not Job.objects.filter(name=ERASE.name, object_id=case_id).exists()
    assert [(h.basis, h.n_documents, h.n_members) for h in view.held] == [("b", 1, 0)]
    assert (view.state, view.clock, view.complete) == ("held", "ended", False)
    receipt = receipt_of(town.tenant_id, case_id)
    assert (receipt["outcome"], receipt["complete"]) == ("held in part", False)
    assert receipt["held"] == [
        {
            "basis": "Art. 17(3)(b) GDPR: a legal obligation, or a task in the public interest",
            "documents": 1,
            "members": 0,
        }
    ]
    assert receipt["left"] == []
    assert str(held) not in str(receipt)


def test_the_release_of_a_hold_resumes_the_erasure(town: Town) -> None:
    held = town.about_alice[0]
    found = hold(town, documents=[held])
    case_id = file_for(town)
    work_on_until(town, case_id, "held")

    release(town, found)
    between, resumed = doors_that_open(town, held), view_of(town.tenant_id, case_id)
    view = work_on_until(town, case_id, "closed")

    assert between == []
    assert (resumed.state, resumed.clock, resumed.held) == ("hidden", "ended", ())
    assert (view.complete, view.held) == (True, ())
    assert list_files(tenant_id=town.tenant_id, document_id=held) == []
    receipt = receipt_of(town.tenant_id, case_id)
    assert (receipt["outcome"], receipt["complete"], receipt["held"]) == ("destroyed", True, [])
    assert {h["name"]: h["destroyed"] for h in receipt["holdings"]}["documents"] == 3
    times = [s.at for s in view.states]
    assert times == sorted(times)
    assert view.states[-1].state == "closed"


def test_a_case_of_which_everything_is_held_says_so(town: Town) -> None:
    found = hold(town, documents=[town.about_bob])
    case_id = file(town.tenant_id, documents=[town.about_bob]).id
    assert case_id is not None

    work_on_until(town, case_id, "held")

    assert receipt_of(town.tenant_id, case_id)["outcome"] == "held"
    release(town, found)
    assert work_on_until(town, case_id, "closed").complete


def test_a_second_hold_keeps_what_an_erasure_covers(
    town: Town, superuser: psycopg.Connection
) -> None:
    one = town.about_bob
    with working(town.tenant_id, custody=True):
        Document.objects.filter(pk=one).update(external_id="a name")
    first = hold(town, documents=[one])
    case_id = file(town.tenant_id, documents=[one]).id
    assert case_id is not None
    second = hold(town, documents=[one])
    before = content_of(superuser, town, one)

    release(town, first)
    work_on_until(town, case_id, "held")

    assert content_of(superuser, town, one) == before
    release(town, second)
    work_on_until(town, case_id, "closed")
    assert list_files(tenant_id=town.tenant_id, document_id=one) == []


def test_a_restriction_does_not_stand_against_an_erasure(town: Town) -> None:
    found = restrict(town, [town.about_bob])
    case_id = file(town.tenant_id, documents=[town.about_bob]).id
    assert case_id is not None

    assert work_on(town.tenant_id, case_id).state == "closed"

    release(town, found)
    assert doors_that_open(town, town.about_bob) == []
    assert list_files(tenant_id=town.tenant_id, document_id=town.about_bob) == []


@pytest.mark.parametrize("how", ["erasure", "deletion", "erased"])
def test_what_an_erasure_or_a_deletion_covers_is_held_no_more(town: Town, how: str) -> None:
    one = town.about_bob
    if how == "deletion":
        with working(town.tenant_id):
            delete_document(clearance=clearance_for(member_id=town.bob), document_id=one)
            keep_from_workers()
    else:
        case_id = file(town.tenant_id, documents=[one]).id
        assert case_id is not None
        if how == "erased":
            work_on(town.tenant_id, case_id)

    for place in (hold, restrict):
        with pytest.raises(BeingErased):
            place(town, documents=[town.about_namesake, one])

    assert town.about_namesake in documents_seen(town)


def test_a_person_is_held_with_the_documents_that_declare_them(
    town: Town, superuser: psycopg.Connection
) -> None:
    email = email_of(town)
    found = hold(town, subject=SubjectRef("email", email), reason=f"{email} sues")
    before = {one: content_of(superuser, town, one) for one in town.about_alice}
    case_id = file_for(town)

    view = work_on_until(town, case_id, "held")

    assert set(found.document_ids) == set(town.about_alice)
    assert (found.member_ids, found.reason) == ((town.alice,), "[subject] sues")
    assert [(h.n_documents, h.n_members) for h in view.held] == [(3, 1)]
    assert {one: content_of(superuser, town, one) for one in town.about_alice} == before
    with working(town.tenant_id):
        assert Member.objects.get(pk=town.alice).suspended_at is not None
        assert ApiKey.objects.filter(member_id=town.alice).exists()
        accounts = Account.objects.using("default").filter(tenant_id=town.tenant_id)
        assert accounts.filter(member_id=town.alice).exists()
    release(town, found)
    assert work_on_until(town, case_id, "closed").complete
    with working(town.tenant_id):
        assert not Member.objects.filter(pk=town.alice).exists()


def test_a_held_member_is_erased_no_sooner_than_a_held_document(town: Town) -> None:
    with working(town.tenant_id):
        outsider = Member.objects.get(pk=town.namesake)
    hold(town, subject=SubjectRef("member", str(outsider.pk)))

    with working(town.tenant_id), pytest.raises(IntegrityError), transaction.atomic():
        Member.objects.filter(pk=outsider.pk).delete()


def test_postgres_refuses_to_destroy_what_is_held(town: Town) -> None:
    held = town.about_bob
    found = hold(town, documents=[held])

    with working(town.tenant_id, custody=True):
        with pytest.raises(IntegrityError), transaction.atomic():
            DocumentKey.objects.filter(document_id=held).delete()
        with pytest.raises(IntegrityError), transaction.atomic():
            Document.objects.filter(pk=held).update(erased_at=timezone.now())
        with pytest.raises(IntegrityError), transaction.atomic():
            Document.objects.filter(pk=held).update(hidden_at=None)

    release(town, found)
    with working(town.tenant_id, custody=True), pytest.raises(Undo), transaction.atomic():
        assert DocumentKey.objects.filter(document_id=held).delete()[0] == 1
        raise Undo


def test_a_hold_needs_a_basis_a_review_a_reason_and_something_to_hold(town: Town) -> None:
    with working(town.tenant_id):
        place = partial(place_hold, subject=None, document_ids=[town.about_bob])
        ahead = timezone.now() + LATER
        for basis in ("", "f", "A", "17"):
            with pytest.raises(UnknownBasis):
                place(basis=basis, review_at=ahead, reason="x")
        with pytest.raises(ReviewNotAhead):
            place(basis="e", review_at=timezone.now(), reason="x")
        with pytest.raises(ReasonMissing):
            place(basis="e", review_at=ahead, reason=" ")
        with pytest.raises(NothingToRestrict):
            place_hold(
                subject=SubjectRef("email", "nobody@example.org"),
                document_ids=None,
                basis="e",
                review_at=ahead,
                reason="x",
            )

    assert documents_seen(town) == town.everything


def test_holds_and_restrictions_are_their_own_tenants_alone(town: Town) -> None:
    other = inhabit()
    placed = {"hold": hold(town, documents=[town.about_bob])}
    placed["restriction"] = restrict(town, [town.about_bob])

    with pytest.raises(DocumentsUnknown):
        hold(other, documents=[town.about_namesake])
    for kind, found in placed.items():
        swapped = "restriction" if kind == "hold" else "hold"
        with working(other.tenant_id):
            assert list_restrictions(kind=kind, after=None, limit=9) == []  # type: ignore[arg-type]
            with pytest.raises((HoldNotFound, RestrictionNotFound)):
                lift(kind=kind, restriction_id=found.id)  # type: ignore[arg-type]
        with working(town.tenant_id), pytest.raises((HoldNotFound, RestrictionNotFound)):
            get_restriction(kind=swapped, restriction_id=found.id)  # type: ignore[arg-type]

    assert doors_that_open(town, town.about_bob) == []


def test_a_hold_says_who_placed_it_and_is_in_the_audit(
    town: Town, superuser: psycopg.Connection
) -> None:
    found = hold(town, documents=[town.about_bob], reason="Strange words")
    release(town, found)

    with working(town.tenant_id):
        events = AuditEvent.objects.filter(object_id=found.id).order_by("at")
        actions = [(e.action, e.document_ids) for e in events]
    assert actions == [("hold.placed", [town.about_bob]), ("hold.released", [town.about_bob])]
    (row,) = superuser.execute(
        "SELECT r::text FROM erasure_restriction r WHERE id = %s", [found.id]
    ).fetchall()
    assert b"Strange".hex() not in row[0]
    assert "Strange" not in row[0]


def test_documents_that_come_later_are_not_held_and_an_erasure_covers_them(town: Town) -> None:
    email = email_of(town)
    hold(town, subject=SubjectRef("email", email))
    later = publish(
        tenant_id=town.tenant_id,
        by=town.bob,
        collection_id=town.collection_id,
        passages=[Passage("Alice Lind moved.", random_vectors(1, seed=5)[0])],
        subjects=(SubjectRef("email", email),),
    )

    case_id = file_for(town)
    work_on_until(town, case_id, "held")

    assert list_files(tenant_id=town.tenant_id, document_id=later) == []


def test_a_release_makes_a_case_go_on_at_once_and_its_clock_too(town: Town) -> None:
    found = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)
    work_on_until(town, case_id, "held")
    with working(town.tenant_id):
        assert not Job.objects.filter(name=ERASURE_ALARM.name, object_id=case_id).exists()
        # As where something was left too: the case is tried again in an hour.
        later = timezone.now() + timedelta(hours=1)
        Job.objects.create(name=ERASE.name, object_id=case_id, run_after=later, attempts=9)
        with pytest.raises(ErasureOver):
            extend_erasure(erasure_id=case_id, reason="x")

    with working(town.tenant_id):
        lift(kind="hold", restriction_id=found.id)
        job = Job.objects.get(name=ERASE.name, object_id=case_id)
        # The next failure waits as after a first one.
        job_is_due = (job.run_after <= timezone.now(), job.attempts)
        alarm = Job.objects.filter(name=ERASURE_ALARM.name, object_id=case_id)
        watched = alarm.exists()
        keep_from_workers()
        assert extend_erasure(erasure_id=case_id, reason="two archives").extended_at is not None

    assert job_is_due == (True, 0)
    assert watched
    assert work_on_until(town, case_id, "closed").complete
    with working(town.tenant_id):
        assert not alarm.exists()
