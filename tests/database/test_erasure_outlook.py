"""What a dry run lists, and what is said to who asks twice for the same person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from ambit.corpus.types import SubjectRef
from ambit.erasure.restrictions import place_hold
from ambit.erasure.services import refuse_erasure
from tests.database.erasures import (
    Town,
    email_of,
    file,
    file_for,
    file_pending,
    inhabit,
    receipt_of,
    view_of,
    work_on,
)
from tests.database.worlds import working


@pytest.fixture
def town() -> Town:
    return inhabit()


def test_a_dry_run_lists_what_goes_what_stays_and_why(town: Town) -> None:
    with working(town.tenant_id):
        place_hold(
            subject=None,
            document_ids=[town.about_alice[0]],
            basis="d",
            review_at=timezone.now() + timedelta(days=1),
            reason="a study",
        )

    view = file(town.tenant_id, subject=SubjectRef("email", email_of(town)), dry_run=True)

    assert view.counts["document"] == 3
    assert view.goes == {
        "document": 2,
        "member": 1,
        "key": 1,
        "account": 1,
        "answer": 3,
        "export": 1,
    }
    assert view.n_shared_documents == 1
    reasons = [(one.what, one.n, one.why.split(":")[0]) for one in view.stays]
    assert reasons == [
        ("documents", 1, "held"),
        ("documents the member uploaded that do not declare them", None, "about others"),
        ("audit events, cases, receipts and holds", None, "evidence"),
    ]
    counted = {h.name: h.found for h in view.holdings}
    assert (counted["documents"], counted["document_keys"]) == (2, 2)


def test_a_held_member_stays_with_keys_and_questions(town: Town) -> None:
    subject = SubjectRef("member", str(town.alice))
    with working(town.tenant_id):
        place_hold(
            subject=subject,
            document_ids=None,
            basis="e",
            review_at=timezone.now() + timedelta(days=1),
            reason="a claim",
        )

    view = file(town.tenant_id, subject=subject, dry_run=True)

    # Two answers were made from what is about her; the third she only asked for.
    assert view.goes == {"answer": 2, "export": 1}
    assert [(one.what, one.n) for one in view.stays[:2]] == [("documents", 3), ("members", 1)]


@pytest.mark.parametrize("kind", ["email", "member"])
def test_who_asks_again_gets_a_case_that_names_the_open_one(town: Town, kind: str) -> None:
    first = file_for(town)
    value = email_of(town) if kind == "email" else str(town.alice)
    subject = SubjectRef(kind, value)  # type: ignore[arg-type]

    looked = file(town.tenant_id, subject=subject, dry_run=True)
    second = file(town.tenant_id, subject=subject)

    assert looked.also_open == (first,)
    assert second.also_open == (first,)
    assert second.id is not None
    assert view_of(town.tenant_id, first).also_open == (second.id,)
    for case_id in (first, second.id):
        assert work_on(town.tenant_id, case_id).state == "closed"
    assert view_of(town.tenant_id, second.id).also_open == ()
    assert receipt_of(town.tenant_id, second.id)["complete"] is True


def test_cases_of_others_closed_or_refused_are_not_named(town: Town) -> None:
    other = inhabit(email=email_of(town))
    file_for(other)
    work_on(town.tenant_id, file_for(town))
    pending = file_pending(inhabit())
    refused = file(town.tenant_id, subject=SubjectRef("email", "x@example.org"), identity="pending")
    assert refused.id is not None
    with working(town.tenant_id):
        refuse_erasure(erasure_id=refused.id, reason="no answer")
    file(town.tenant_id, documents=[town.about_bob])

    again = file(town.tenant_id, subject=SubjectRef("email", "x@example.org"))

    assert pending not in again.also_open
    assert again.also_open == ()
