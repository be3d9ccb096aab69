"""A round of retention and somebody else at the same moment: whoever commits first stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from ambit.corpus.queries import DocumentNotFound
from ambit.corpus.services import receive_version
from ambit.corpus.types import SubjectRef
from ambit.erasure.restrictions import BeingErased, place_hold, place_restriction
from ambit.erasure.retention import set_retention
from ambit.erasure.rounds import BUSY, begin_round
from tests.database.erasures import Town, inhabit, keep_from_workers
from tests.database.holding import LATER, letter
from tests.database.readers import Begin
from tests.database.retaining import (
    age_answers,
    age_documents,
    cases_of,
    covered_by,
    keep_for,
    policy_of,
    retention_of,
)
from tests.database.worlds import working


@pytest.fixture
def town(_database: None) -> Town:
    """Return a town with two old documents and an old answer, which are kept for thirty days."""
    town = inhabit(n_chunks=1)
    age_documents(town, 50, town.about_bob, town.about_namesake)
    age_answers(town, 50, town.answers[2])
    keep_for(town, documents=30, answers=30)
    return town


def covered(town: Town, kind: str) -> set[UUID]:
    """Return what of a kind the tenant's rounds have made cases of."""
    return {one for case_id in cases_of(town) for one in covered_by(town, case_id, kind)}


def holding(town: Town, member: UUID | None = None) -> None:
    place_hold(
        subject=SubjectRef("member", str(member)) if member else None,
        document_ids=None if member else [town.about_bob],
        basis="e",
        review_at=timezone.now() + LATER,
        reason="a claim",
    )


def restricting(town: Town) -> None:
    place_restriction(subject=None, document_ids=[town.about_bob], reason="disputed")


def renewing(town: Town) -> None:
    receive_version(document_id=town.about_bob, upload=letter())


@pytest.mark.parametrize("doing", [holding, restricting, renewing])
def test_a_round_waits_for_who_keeps_or_renews_a_document_and_leaves_it(
    town: Town, begin: Begin, doing: Callable[[Town], None]
) -> None:
    with working(town.tenant_id):
        doing(town)
        other = begin(town.tenant_id, begin_round)
        assert other.waits()
        keep_from_workers()

    other.result()
    assert covered(town, "document") == {town.about_namesake}


def test_a_round_waits_for_a_hold_on_a_member_and_leaves_what_the_member_asked(
    town: Town, begin: Begin
) -> None:
    with working(town.tenant_id):
        holding(town, member=town.alice)
        other = begin(town.tenant_id, begin_round)
        assert other.waits()
        keep_from_workers()

    other.result()
    assert covered(town, "answer").isdisjoint(town.answers)


def test_who_comes_after_a_round_finds_that_it_was_first(town: Town, begin: Begin) -> None:
    with working(town.tenant_id):
        begin_round()
        late = begin(town.tenant_id, lambda: holding(town))
        assert late.waits()
        keep_from_workers()

    with pytest.raises(BeingErased):
        late.result()
    with pytest.raises(DocumentNotFound), working(town.tenant_id):
        renewing(town)


def test_of_two_rounds_at_the_same_moment_the_second_makes_nothing(
    town: Town, begin: Begin
) -> None:
    with working(town.tenant_id):
        begin_round()
        other = begin(town.tenant_id, begin_round)
        assert other.waits()
        keep_from_workers()

    assert other.result() == BUSY
    assert len(cases_of(town)) == 2


def test_a_round_waits_for_who_keeps_longer_and_takes_nothing(town: Town, begin: Begin) -> None:
    with working(town.tenant_id):
        set_retention(days={"documents": 60})
        other = begin(town.tenant_id, begin_round)
        assert other.waits()
        keep_from_workers()

    other.result()
    assert cases_of(town) == []
    assert retention_of(town).classes["documents"].days == 60
    assert policy_of(town, "answers").days is None


def test_two_first_policies_at_the_same_moment_are_both_kept_in_their_order(begin: Begin) -> None:
    town = inhabit(n_chunks=1)
    with working(town.tenant_id):
        set_retention(days={"documents": 60})
        other = begin(town.tenant_id, lambda: set_retention(days={"documents": 90}))
        assert other.waits()
        keep_from_workers()

    other.result()
    with working(town.tenant_id):
        keep_from_workers()
    shown = retention_of(town).classes["documents"]
    assert (shown.days, shown.next_days) == (None, 90)
    assert shown.effective_at is not None
    assert shown.effective_at > timezone.now() + timedelta(hours=23)
