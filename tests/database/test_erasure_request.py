"""Requests to forget: what they cover, what they hide at once, and what they refuse."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from ambit.access.clearance import clearance_for
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.queries import DocumentNotFound, get_document, read_content
from ambit.corpus.types import SubjectRef
from ambit.corpus.vault import vault_of
from ambit.erasure.queries import (
    ErasureNotFound,
    ReceiptNotReady,
    get_erasure,
    get_receipt,
    list_erasures,
)
from ambit.erasure.reasons import ReasonMissing
from ambit.erasure.services import request_erasure
from ambit.erasure.subjects import NothingNamed, TooMuchNamed
from ambit.jobs.models import Job
from tenants.holdings import SubjectAmbiguous
from tenants.ids import public_id
from tenants.models import Account, ApiKey, AuditEvent, Member
from tenants.queries import MemberNotFound, find_member
from tenants.services import create_member
from tests.database.erasures import (
    Town,
    documents_seen,
    file,
    file_for,
    inhabit,
    rows_of,
    view_of,
    work_on,
)
from tests.database.worlds import working


@pytest.fixture
def town() -> Town:
    return inhabit()


@pytest.fixture(scope="module")
def hidden(_database: None) -> Town:
    """Return a town in which a request about Alice was just committed."""
    town = inhabit()
    file_for(town)
    return town


@pytest.fixture(scope="module")
def untouched(_database: None) -> Town:
    """Return a town that no refused request may change."""
    return inhabit()


def test_from_the_commit_of_a_request_nobody_finds_what_it_covers(town: Town) -> None:
    before = documents_seen(town)

    file_for(town)

    assert before == town.everything
    assert documents_seen(town) == town.everything - set(town.about_alice)


def test_from_the_commit_of_a_request_nobody_opens_what_it_covers(hidden: Town) -> None:
    with working(hidden.tenant_id):
        clearance = clearance_for(member_id=hidden.bob)
        for document_id in hidden.about_alice:
            with pytest.raises(DocumentNotFound):
                get_document(document_id=document_id, clearance=clearance)
            with pytest.raises(DocumentNotFound):
                read_content(document_id=document_id, clearance=clearance)
            assert vault_of(document_id) is None
        with pytest.raises(AnswerNotFound):
            get_answer(answer_id=hidden.answers[1], clearance=clearance)


def test_from_the_commit_of_a_request_the_member_is_shut_out(hidden: Town) -> None:
    with working(hidden.tenant_id):
        assert clearance_for(member_id=hidden.alice).audience_ids == ()
        with pytest.raises(MemberNotFound):
            find_member(text=public_id("member", hidden.alice))
        assert not ApiKey.objects.filter(member_id=hidden.alice, revoked_at=None).exists()
        account = Account.objects.using("default").get(
            tenant_id=hidden.tenant_id, member_id=hidden.alice
        )
        assert not account.is_active


def test_a_request_that_is_rolled_back_hides_nothing(untouched: Town) -> None:
    class Abandoned(Exception):
        pass

    with pytest.raises(Abandoned), working(untouched.tenant_id):
        request_erasure(
            subject=SubjectRef("member", str(untouched.alice)),
            document_ids=None,
            reason="a test",
            dry_run=False,
        )
        raise Abandoned

    assert documents_seen(untouched) == untouched.everything


@pytest.mark.parametrize("kind", ["email", "external_id", "member"])
def test_a_member_is_followed_from_any_identifier_to_all_of_them(
    untouched: Town, kind: str
) -> None:
    with working(untouched.tenant_id):
        alice = Member.objects.get(pk=untouched.alice)
    value = {
        "email": f" {alice.email.upper()} ",
        "external_id": alice.external_id,
        "member": str(alice.pk),
    }[kind]

    view = file(untouched.tenant_id, subject=SubjectRef(kind, value), dry_run=True)  # type: ignore[arg-type]

    assert view.counts == {
        "document": 3,
        "member": 1,
        "key": 1,
        "account": 1,
        "answer": 3,
        "export": 1,
    }
    assert view.n_shared_documents == 1


@pytest.mark.parametrize("written", ["public_id", "external_id", "email"])
def test_a_member_may_be_named_in_any_way_that_names_one(untouched: Town, written: str) -> None:
    with working(untouched.tenant_id):
        alice = Member.objects.get(pk=untouched.alice)
    value = {
        "public_id": public_id("member", alice.pk),
        "external_id": alice.external_id,
        "email": alice.email,
    }[written]

    view = file(untouched.tenant_id, subject=SubjectRef("member", value), dry_run=True)

    assert view.counts["member"] == 1
    assert view.counts["document"] == 3


def test_a_text_that_names_two_members_is_refused(town: Town) -> None:
    with working(town.tenant_id):
        email = Member.objects.get(pk=town.alice).email
        create_member(external_id=email, email=f"{uuid4().hex}@example.org", name="", role="member")

    with pytest.raises(SubjectAmbiguous):
        file(town.tenant_id, subject=SubjectRef("member", email))

    assert documents_seen(town) == town.everything


def test_a_suspended_member_can_be_forgotten(town: Town) -> None:
    with working(town.tenant_id):
        Member.objects.filter(pk=town.alice).update(suspended_at="2026-01-01T00:00:00Z")

    view = file(town.tenant_id, subject=SubjectRef("member", str(town.alice)))

    assert view.counts["member"] == 1


def test_documents_can_be_named_by_id(town: Town) -> None:
    named = [town.about_bob, town.about_bob, town.uploaded_by_alice]

    view = file(town.tenant_id, documents=named)

    assert view.subject_type == "documents"
    assert view.subject_hash is None
    assert view.counts == {"document": 2}
    assert documents_seen(town) == town.everything - set(named)


@pytest.mark.parametrize(
    ("subject", "documents"),
    [
        (None, None),
        (None, []),
        (SubjectRef("email", ""), None),
        (SubjectRef("email", " \t\n"), None),
        (SubjectRef("external_id", ""), None),
        (SubjectRef("member", " "), None),
        (SubjectRef("email", "a\x00b"), None),
        (SubjectRef("name", "Alice Lind"), None),  # type: ignore[arg-type]
    ],
)
def test_a_request_that_names_nobody_and_nothing_is_refused(
    untouched: Town, subject: SubjectRef | None, documents: list[UUID] | None
) -> None:
    with pytest.raises(NothingNamed):
        file(untouched.tenant_id, subject=subject, documents=documents)

    assert documents_seen(untouched) == untouched.everything


def test_a_request_that_names_both_a_person_and_documents_is_refused(untouched: Town) -> None:
    with pytest.raises(TooMuchNamed):
        file(
            untouched.tenant_id,
            subject=SubjectRef("member", str(untouched.alice)),
            documents=[untouched.about_bob],
        )
    with pytest.raises(TooMuchNamed):
        file(untouched.tenant_id, subject=SubjectRef("member", str(untouched.alice)), documents=[])

    assert documents_seen(untouched) == untouched.everything


def test_one_unknown_document_refuses_them_all(untouched: Town) -> None:
    unknown = uuid4()

    with pytest.raises(DocumentsUnknown) as refused:
        file(untouched.tenant_id, documents=[untouched.about_bob, unknown])

    assert refused.value.document_ids == (unknown,)
    assert documents_seen(untouched) == untouched.everything


def test_another_tenants_document_is_as_unknown_as_a_made_up_one(untouched: Town) -> None:
    other = inhabit()

    with pytest.raises(DocumentsUnknown):
        file(untouched.tenant_id, documents=[other.about_bob])

    assert documents_seen(other) == other.everything


def test_a_request_without_a_reason_is_refused(untouched: Town) -> None:
    with pytest.raises(ReasonMissing):
        file(untouched.tenant_id, documents=[untouched.about_bob], reason="  ")

    assert documents_seen(untouched) == untouched.everything


def test_a_dry_run_finds_the_same_and_changes_nothing(
    town: Town, superuser: psycopg.Connection
) -> None:
    before = rows_of(superuser, town.tenant_id)
    subject = SubjectRef("member", str(town.alice))

    preview = file(town.tenant_id, subject=subject, dry_run=True)

    assert rows_of(superuser, town.tenant_id) == before
    assert documents_seen(town) == town.everything
    with working(town.tenant_id):
        assert list_erasures(after=None, limit=10) == []
        assert not Job.objects.filter(name="erase.case").exists()
        assert AuditEvent.objects.filter(action="erasure.previewed").count() == 1
    real = file(town.tenant_id, subject=subject)
    assert (preview.id, preview.dry_run, preview.state) == (None, True, "previewed")
    assert preview.counts == real.counts
    assert real.id is not None
    found = {h.name: h.found for h in work_on(town.tenant_id, real.id).holdings}
    assert {h.name: h.found for h in preview.holdings} == found
    assert preview.n_shared_documents == real.n_shared_documents


def test_a_case_keeps_the_persons_identifiers_nowhere(
    town: Town, superuser: psycopg.Connection
) -> None:
    with working(town.tenant_id):
        alice = Member.objects.get(pk=town.alice)
    words = f"{alice.name.upper()} <{alice.email}>, no. {alice.external_id}, asked on paper"

    case_id = file(town.tenant_id, subject=SubjectRef("email", alice.email), reason=words).id

    assert case_id is not None
    view = view_of(town.tenant_id, case_id)
    assert view.reason == "[subject] <[subject]>, no. [subject], asked on paper"
    kept = superuser.execute(
        "SELECT e::text FROM erasure_erasure e WHERE tenant_id = %(t)s UNION ALL"
        " SELECT i::text FROM erasure_erasureitem i WHERE tenant_id = %(t)s UNION ALL"
        " SELECT h::text FROM erasure_erasureholding h WHERE tenant_id = %(t)s UNION ALL"
        " SELECT a::text FROM tenants_auditevent a WHERE tenant_id = %(t)s",
        {"t": town.tenant_id},
    ).fetchall()
    text = "".join(row for (row,) in kept).lower()
    plain = [alice.email, alice.external_id, alice.name, "on paper"]
    assert [w for w in plain if w.lower() in text or w.encode().hex() in text] == []


def test_a_case_is_seen_by_its_own_tenant_alone(town: Town) -> None:
    case_id = file_for(town)
    other = inhabit()

    with working(other.tenant_id):
        with pytest.raises(ErasureNotFound):
            get_erasure(erasure_id=case_id)
        with pytest.raises(ErasureNotFound):
            get_receipt(erasure_id=case_id)
        assert list_erasures(after=None, limit=10) == []


def test_a_receipt_is_not_ready_before_the_work_is_done(town: Town) -> None:
    case_id = file_for(town)

    with working(town.tenant_id), pytest.raises(ReceiptNotReady):
        get_receipt(erasure_id=case_id)


def test_cases_are_listed_newest_first(town: Town) -> None:
    cases = [file(town.tenant_id, documents=[town.about_bob]).id for _ in range(3)]

    with working(town.tenant_id):
        first = list_erasures(after=None, limit=2)
        rest = list_erasures(after=first[-1].id, limit=2)

    assert [view.id for view in first + rest] == cases[::-1]
