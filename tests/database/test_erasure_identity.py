"""The identity check: nothing is hidden and nothing said in clear before it ends, one way or the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document
from ambit.corpus.types import SubjectRef, Upload
from ambit.erasure.identity import NotPending
from ambit.erasure.models import Erasure, ErasureItem, PendingRequest
from ambit.erasure.queries import ErasureNotFound
from ambit.erasure.reasons import ReasonMissing
from ambit.erasure.services import refuse_erasure, verify_identity
from ambit.erasure.types import ErasureView
from ambit.jobs.kinds import ERASE
from ambit.jobs.models import Job
from ambit.keys.sealing import CannotOpen, open_data_key
from tenants.holdings import SubjectAmbiguous
from tenants.models import AuditEvent, Member
from tenants.services import create_member
from tests.database.erasures import (
    Town,
    documents_seen,
    email_of,
    file,
    file_pending,
    inhabit,
    keep_from_workers,
    receipt_of,
    rows_of,
    view_of,
    work_on,
)
from tests.database.worlds import Passage, publish, random_vectors, working


@pytest.fixture
def town() -> Town:
    return inhabit()


def verify(town: Town, case_id: UUID) -> ErasureView:
    with working(town.tenant_id):
        view = verify_identity(erasure_id=case_id)
        keep_from_workers()
    return view


def refuse(town: Town, case_id: UUID, reason: str = "could not be identified") -> ErasureView:
    with working(town.tenant_id):
        return refuse_erasure(erasure_id=case_id, reason=reason)


def publish_about(town: Town, email: str) -> UUID:
    return publish(
        tenant_id=town.tenant_id,
        by=town.bob,
        collection_id=town.collection_id,
        passages=[Passage("Alice Lind moved to Pier Street.", random_vectors(1, seed=11)[0])],
        subjects=(SubjectRef("email", email),),
    )


TABLES_OF_CASES = ("erasure_erasure", "erasure_erasureitem", "erasure_pendingrequest")
TABLES_OF_WORK = ("tenants_auditevent", "jobs_job")


def everything_kept(
    superuser: psycopg.Connection,
    town: Town,
    *,
    tables: tuple[str, ...] = (*TABLES_OF_CASES, *TABLES_OF_WORK),
) -> str:
    """Return every row that a case leaves anywhere, as text."""
    rows = [
        row
        for table in tables
        for (row,) in superuser.execute(
            f"SELECT t::text FROM {table} t WHERE tenant_id = %s",  # noqa: S608 - names of our tables
            [town.tenant_id],
        )
    ]
    return "".join(rows).lower()


def test_a_pending_request_hides_nothing_and_finds_nothing(
    town: Town, superuser: psycopg.Connection
) -> None:
    before = rows_of(superuser, town.tenant_id)

    case_id = file_pending(town)

    view = view_of(town.tenant_id, case_id)
    assert (view.state, view.counts, view.holdings) == ("received", {}, ())
    assert [s.state for s in view.states] == ["received"]
    assert documents_seen(town) == town.everything
    assert rows_of(superuser, town.tenant_id) == before
    with working(town.tenant_id):
        assert not ErasureItem.objects.filter(erasure_id=case_id).exists()
        assert not Job.objects.filter(object_id=case_id).exists()
        assert AuditEvent.objects.get(object_id=case_id).document_ids == []


def test_a_pending_request_keeps_no_identifier_in_clear(
    town: Town, superuser: psycopg.Connection
) -> None:
    email = email_of(town)
    with working(town.tenant_id):
        alice = Member.objects.get(pk=town.alice)
    reason = f"{alice.name} <{email}> wrote"
    pending = file(
        town.tenant_id, subject=SubjectRef("email", email), reason=reason, identity="pending"
    )
    by_id = file(town.tenant_id, documents=[town.about_bob], identity="pending")

    kept = everything_kept(superuser, town)
    of_cases = everything_kept(superuser, town, tables=TABLES_OF_CASES)
    plain = [email, alice.external_id, alice.name]
    assert [w for w in plain if w.lower() in kept or w.encode().hex() in kept] == []
    assert not any(word in of_cases for word in (str(town.about_bob), town.about_bob.hex))
    assert pending.reason == "[subject] <[subject]> wrote"
    assert by_id.state == "received"


def test_once_verified_all_goes_on_as_with_one_who_was_known(town: Town) -> None:
    case_id = file_pending(town)

    verified = verify(town, case_id)

    assert verified.state == "hidden"
    assert [s.state for s in verified.states] == ["received", "identified", "hidden"]
    assert verified.counts == {
        "document": 3,
        "member": 1,
        "key": 1,
        "account": 1,
        "answer": 3,
        "export": 1,
    }
    assert documents_seen(town) == town.everything - set(town.about_alice)
    assert work_on(town.tenant_id, case_id).state == "closed"


def test_the_person_is_found_again_when_the_check_ends(town: Town) -> None:
    case_id = file_pending(town)
    between = publish_about(town, email_of(town))

    verified = verify(town, case_id)

    assert verified.counts["document"] == 4
    assert between not in documents_seen(town)
    assert work_on(town.tenant_id, case_id).state == "closed"


def test_an_upload_that_is_under_way_when_the_check_ends_is_covered(town: Town) -> None:
    case_id, email = file_pending(town), email_of(town)
    stored, verified = threading.Event(), threading.Event()

    def upload_slowly() -> None:
        upload = Upload(
            "A letter",
            "letter.txt",
            "text/plain",
            [b"Alice Lind lives at Quay Lane."],
            subjects=(SubjectRef("email", email),),
        )
        try:
            with working(town.tenant_id):
                clearance = clearance_for(member_id=town.bob)
                upload_document(
                    clearance=clearance,
                    collection_id=town.collection_id,
                    upload=upload,
                    grants=None,
                )
                keep_from_workers()
                stored.set()
                verified.wait(30)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload_slowly)
        stored.wait(30)
        early = verify(town, case_id)
        verified.set()
        uploading.result(30)

    view = work_on(town.tenant_id, case_id)

    assert (early.counts["document"], view.counts["document"]) == (3, 4)
    assert view.state == "closed"


def test_a_member_who_came_meanwhile_is_found_and_taken_out_of_the_reason(town: Town) -> None:
    email = f"new-{uuid4().hex[:8]}@example.org"
    case_id = file(
        town.tenant_id,
        subject=SubjectRef("email", email),
        reason="Nadia Oak asked",
        identity="pending",
    ).id
    assert case_id is not None
    with working(town.tenant_id):
        create_member(external_id=uuid4().hex, email=email, name="Nadia Oak", role="member")

    verified = verify(town, case_id)

    assert verified.counts["member"] == 1
    assert verified.reason == "[subject] asked"


@pytest.mark.parametrize("end", [verify, refuse])
def test_the_key_and_what_it_sealed_go_when_the_case_leaves_received(
    town: Town, superuser: psycopg.Connection, end: Callable[[Town, UUID], ErasureView]
) -> None:
    case_id = file_pending(town)
    with working(town.tenant_id):
        kept = PendingRequest.objects.get(erasure_id=case_id)

    end(town, case_id)

    with working(town.tenant_id):
        assert not PendingRequest.objects.exists()
        # It opened: what is gone was the key.
        open_data_key(bytes(kept.wrapped_key), tenant_id=town.tenant_id, object_id=case_id)
    everything = everything_kept(superuser, town)
    assert bytes(kept.wrapped_key).hex() not in everything
    assert bytes(kept.named_sealed).hex() not in everything


def test_what_a_request_names_opens_for_its_own_case_alone(town: Town) -> None:
    case_id, other = file_pending(town), uuid4()
    with working(town.tenant_id):
        kept = PendingRequest.objects.get(erasure_id=case_id)

        with pytest.raises(CannotOpen):
            open_data_key(bytes(kept.wrapped_key), tenant_id=town.tenant_id, object_id=other)


def test_a_verification_that_is_rolled_back_changes_nothing(town: Town) -> None:
    class Abandoned(Exception):
        pass

    case_id = file_pending(town)
    with pytest.raises(Abandoned), working(town.tenant_id):
        verify_identity(erasure_id=case_id)
        raise Abandoned

    assert view_of(town.tenant_id, case_id).state == "received"
    assert documents_seen(town) == town.everything
    assert verify(town, case_id).state == "hidden"


def test_a_refusal_hides_nothing_and_leaves_a_receipt_that_says_so(
    town: Town, superuser: psycopg.Connection
) -> None:
    case_id, email = file_pending(town), email_of(town)

    view = refuse(town, case_id, f"{email} did not answer")

    assert (view.state, view.clock) == ("refused", "ended")
    assert [s.state for s in view.states] == ["received", "refused"]
    assert view.refusal_reason == "[subject] did not answer"
    assert documents_seen(town) == town.everything
    receipt = receipt_of(town.tenant_id, case_id)
    assert (receipt["outcome"], receipt["complete"]) == ("refused", False)
    assert (receipt["holdings"], receipt["covered"]) == ([], {})
    assert "answer" not in str(receipt["outcome"])
    kept = everything_kept(superuser, town)
    assert email.lower() not in kept
    assert b"did not".hex() not in kept
    with working(town.tenant_id):
        assert not Job.objects.filter(object_id=case_id).exists()
        assert AuditEvent.objects.filter(action="erasure.refused", object_id=case_id).exists()


def test_a_refusal_needs_a_reason(town: Town) -> None:
    case_id = file_pending(town)

    with pytest.raises(ReasonMissing):
        refuse(town, case_id, " \n")

    assert view_of(town.tenant_id, case_id).state == "received"


@pytest.mark.parametrize("end", [verify, refuse])
def test_a_case_whose_check_is_over_is_neither_verified_nor_refused(
    town: Town, end: Callable[[Town, UUID], ErasureView]
) -> None:
    verified, refused = file_pending(town), file_pending(town)
    known = file(town.tenant_id, documents=[town.about_bob]).id
    assert known is not None
    verify(town, verified)
    refuse(town, refused)

    for case_id in (verified, refused, known):
        before = view_of(town.tenant_id, case_id)
        with pytest.raises(NotPending):
            end(town, case_id)
        assert view_of(town.tenant_id, case_id) == before


def test_of_a_verification_and_a_refusal_at_the_same_moment_one_wins_whole(town: Town) -> None:
    case_id = file_pending(town)

    def do(end: Callable[[Town, UUID], ErasureView]) -> str:
        try:
            return end(town, case_id).state
        except NotPending:
            return "too late"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(do, (verify, refuse)))

    assert sorted(outcomes) in (["hidden", "too late"], ["refused", "too late"])
    hidden = "hidden" in outcomes
    assert view_of(town.tenant_id, case_id).state == ("hidden" if hidden else "refused")
    assert (documents_seen(town) == town.everything) is not hidden


def test_a_name_that_means_two_by_now_hides_nobody_and_can_still_be_refused(town: Town) -> None:
    email = email_of(town)
    pending = file(town.tenant_id, subject=SubjectRef("member", email), identity="pending").id
    assert pending is not None
    with working(town.tenant_id):
        create_member(external_id=email, email=f"{uuid4().hex}@example.org", name="", role="member")

    with pytest.raises(SubjectAmbiguous):
        verify(town, pending)

    assert documents_seen(town) == town.everything
    assert refuse(town, pending).state == "refused"


def test_another_tenants_case_is_as_unknown_as_a_made_up_one(town: Town) -> None:
    case_id, other = file_pending(town), inhabit()

    for end in (verify, refuse):
        with pytest.raises(ErasureNotFound):
            end(other, case_id)
        with pytest.raises(ErasureNotFound):
            end(other, uuid4())

    assert view_of(town.tenant_id, case_id).state == "received"


def test_a_job_of_a_pending_case_would_find_no_case(town: Town) -> None:
    case_id = file_pending(town)
    with working(town.tenant_id):
        Job.objects.create(name=ERASE.name, object_id=case_id, run_after="2026-01-01T00:00:00Z")

    with pytest.raises(TimeoutError):
        _work_briefly(town, case_id)

    assert documents_seen(town) == town.everything
    with working(town.tenant_id):
        assert Erasure.objects.get(pk=case_id).state == "received"


def _work_briefly(town: Town, case_id: UUID) -> None:
    from tests.database import erasures

    seconds, erasures.SECONDS = erasures.SECONDS, 1
    try:
        work_on(town.tenant_id, case_id)
    finally:
        erasures.SECONDS = seconds
