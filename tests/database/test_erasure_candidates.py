"""Candidates for an erasure: offered and never taken; what a person confirmed goes with the case."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from ambit.access.clearance import clearance_for
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.identifiers import CannotBeLookedFor, Identifier
from ambit.corpus.types import SubjectRef
from ambit.erasure.candidates import find_candidates
from ambit.erasure.services import verify_identity
from ambit.erasure.subjects import NothingNamed, TooMuchNamed
from ambit.erasure.types import Candidates
from tenants.models import AuditEvent
from tests.database.erasures import (
    Town,
    documents_seen,
    email_of,
    file,
    inhabit,
    keep_from_workers,
    receipt_of,
    work_on,
)
from tests.database.worlds import Passage, grant, make_member, publish, unit, working

ALICE = Identifier("name", "Alice Lind")


@pytest.fixture
def town() -> Town:
    return inhabit()


@pytest.fixture(scope="module")
def untouched(_database: None) -> Town:
    """Return a town that nothing here may change."""
    return inhabit()


def note(town: Town, text: str, **more: object) -> UUID:
    """Add a document that declares nobody."""
    return publish(
        tenant_id=town.tenant_id,
        by=town.bob,
        collection_id=town.collection_id,
        passages=[Passage(text, unit(0))],
        **more,  # type: ignore[arg-type]  # as publish takes it
    )


def candidates(town: Town, *identifiers: Identifier, by: UUID | None = None) -> Candidates:
    """Look for a person as a member, or as nobody in particular."""
    with working(town.tenant_id):
        clearance = clearance_for(member_id=by) if by else None
        return find_candidates(identifiers=identifiers, clearance=clearance, limit=100)


def test_what_declares_the_person_is_no_candidate(town: Town) -> None:
    email = Identifier("email", email_of(town))
    mentioning = note(town, f"Alice Lind wrote from {email.value}.")

    found = candidates(town, email, ALICE)

    # Every document of the town names Alice Lind, her namesake's and Bob's too.
    others = {town.uploaded_by_alice, town.about_namesake, town.about_bob}
    by = {one.document_id: one.found_by for one in found.candidates}
    assert by == {mentioning: {"email": 1, "name": 1}} | {one: {"name": 1} for one in others}
    assert found.candidates[0].document_id == mentioning
    declared = {one.document_id for one in found.candidates if one.declares_others}
    assert declared == {town.about_namesake, town.about_bob}
    assert (found.n_found, found.n_not_looked_through) == (4, 0)


def test_looking_hides_nothing(untouched: Town) -> None:
    candidates(untouched, ALICE)

    assert documents_seen(untouched) == untouched.everything


def test_a_title_is_shown_to_who_may_read_the_document_and_to_nobody_else(town: Town) -> None:
    with working(town.tenant_id):
        officer = make_member("olivia", role="privacy_officer")
    private = note(
        town, "jo@example.org", title="For Bob alone", grants=[grant("owner", member=town.bob)]
    )
    jo = Identifier("email", "jo@example.org")

    for by, title in ((officer, None), (None, None), (town.bob, "For Bob alone")):
        (found,) = candidates(town, jo, by=by).candidates
        assert (found.document_id, found.title) == (private, title)
        assert "For Bob" not in repr(found)


def test_the_best_come_first_and_as_many_as_are_wanted(town: Town) -> None:
    asked = [Identifier("email", "jo@example.org"), Identifier("phone", "030 1234567")]
    one, both = note(town, "jo@example.org"), note(town, "jo@example.org, 030 1234567")

    with working(town.tenant_id):
        found = find_candidates(identifiers=asked, clearance=None, limit=1)

    assert [c.document_id for c in found.candidates] == [both]
    assert found.n_found == 2
    assert one not in {c.document_id for c in found.candidates}


def test_who_looked_is_recorded_and_for_whom_is_not(
    town: Town, superuser: psycopg.Connection
) -> None:
    mentioning = note(town, "zzyzx@example.org")

    candidates(town, Identifier("email", "zzyzx@example.org"))

    with working(town.tenant_id):
        event = AuditEvent.objects.get(action="erasure.candidates_found")
    assert (event.document_ids, event.counts) == ([mentioning], {"email": 1})
    rows = superuser.execute(
        "SELECT e::text FROM tenants_auditevent e WHERE tenant_id = %s", [town.tenant_id]
    ).fetchall()
    assert not [row for (row,) in rows if "zzyzx" in row]


def test_another_tenants_documents_are_no_candidates(untouched: Town, town: Town) -> None:
    theirs = {one.document_id for one in candidates(untouched, ALICE).candidates}

    assert theirs <= untouched.everything
    assert not theirs & town.everything


def test_one_that_cannot_be_looked_for_refuses_them_all(untouched: Town) -> None:
    with pytest.raises(CannotBeLookedFor) as refused:
        candidates(untouched, ALICE, Identifier("name", "Alice"))

    assert refused.value.place == 1


def test_one_case_covers_the_person_and_what_was_confirmed(town: Town) -> None:
    email = email_of(town)
    confirmed, left = note(town, f"About {email}"), note(town, f"Not about {email}")

    view = file(
        town.tenant_id,
        subject=SubjectRef("email", email),
        also=[confirmed, confirmed, town.about_alice[0]],
    )

    assert (view.subject_type, view.counts["document"], view.n_confirmed_documents) == (
        "email",
        4,
        1,
    )
    assert documents_seen(town) == (town.everything | {left}) - set(town.about_alice)
    assert view.id is not None
    assert work_on(town.tenant_id, view.id).complete
    receipt = receipt_of(town.tenant_id, view.id)
    assert receipt["confirmed_documents"] == 1
    assert any(line.startswith("Confirmed by a person: 1 documents") for line in receipt["limits"])
    assert documents_seen(town) == (town.everything | {left}) - set(town.about_alice)


def test_a_case_without_confirmed_documents_says_nothing_of_any(town: Town) -> None:
    case_id = file(town.tenant_id, subject=SubjectRef("email", email_of(town))).id
    assert case_id is not None
    work_on(town.tenant_id, case_id)

    receipt = receipt_of(town.tenant_id, case_id)

    assert receipt["confirmed_documents"] == 0
    assert not any("Confirmed" in line for line in receipt["limits"])
    assert any("No search finds every mention" in line for line in receipt["limits"])


def test_what_is_confirmed_can_be_all_there_is_of_a_person(town: Town) -> None:
    confirmed = note(town, "jo@example.org")

    view = file(town.tenant_id, subject=SubjectRef("email", "jo@example.org"), also=[confirmed])

    assert (view.counts, view.n_confirmed_documents) == ({"document": 1}, 1)
    assert documents_seen(town) == town.everything


def test_a_dry_run_counts_what_was_confirmed_and_hides_nothing(town: Town) -> None:
    confirmed = note(town, "Quay Lane")

    view = file(
        town.tenant_id,
        subject=SubjectRef("email", email_of(town)),
        also=[confirmed],
        dry_run=True,
    )

    assert (view.goes["document"], view.n_confirmed_documents) == (4, 1)
    assert documents_seen(town) == town.everything | {confirmed}


def test_what_was_confirmed_is_kept_sealed_until_the_identity_check_ends(
    town: Town, superuser: psycopg.Connection
) -> None:
    confirmed = note(town, "Quay Lane")
    case_id = file(
        town.tenant_id,
        subject=SubjectRef("email", email_of(town)),
        also=[confirmed],
        identity="pending",
    ).id
    assert case_id is not None
    assert confirmed in documents_seen(town)
    rows = superuser.execute(
        "SELECT e::text FROM erasure_erasure e WHERE id = %(id)s UNION ALL"
        " SELECT p::text FROM erasure_pendingrequest p WHERE erasure_id = %(id)s",
        {"id": case_id},
    ).fetchall()
    assert not [row for (row,) in rows if str(confirmed) in row or confirmed.hex in row]

    with working(town.tenant_id):
        view = verify_identity(erasure_id=case_id)
        keep_from_workers()

    assert (view.counts["document"], view.n_confirmed_documents) == (4, 1)
    assert confirmed not in documents_seen(town)


@pytest.mark.parametrize("named", ["nobody", "documents", "none confirmed", "unknown", "foreign"])
def test_what_is_badly_confirmed_hides_nothing(untouched: Town, town: Town, named: str) -> None:
    alice, also = SubjectRef("email", email_of(untouched)), [untouched.about_bob]
    request, refusal = {
        "nobody": ({"also": also}, NothingNamed),
        "documents": ({"subject": alice, "documents": also, "also": also}, TooMuchNamed),
        "none confirmed": ({"subject": alice, "also": []}, NothingNamed),
        "unknown": ({"subject": alice, "also": [*also, uuid4()]}, DocumentsUnknown),
        "foreign": ({"subject": alice, "also": [*also, town.about_bob]}, DocumentsUnknown),
    }[named]

    with pytest.raises(refusal):
        file(untouched.tenant_id, **request)  # type: ignore[arg-type]  # as the table says

    assert documents_seen(untouched) == untouched.everything
    assert documents_seen(town) == town.everything
