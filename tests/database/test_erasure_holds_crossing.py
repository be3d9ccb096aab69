"""A hold and an erasure at the same moment, a release beside a worker, and whatever comes when."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.utils import timezone

from ambit.corpus.models import DocumentKey
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.types import SubjectRef
from ambit.erasure.models import RestrictionItem
from ambit.erasure.restrictions import (
    BeingErased,
    get_restriction,
    place_hold,
)
from ambit.erasure.services import request_erasure
from ambit.erasure.types import RestrictionView
from ambit.jobs.kinds import ERASE
from ambit.jobs.models import Job
from tenants.models import Member
from tests.database.erasures import (
    Town,
    documents_seen,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    take,
    view_of,
)
from tests.database.holding import (
    LATER,
    content_of,
    doors_that_open,
    hold,
    release,
    restrict,
    work_on_until,
)
from tests.database.readers import Begin
from tests.database.worlds import working
from workers.erase import flow
from workers.erase.flow import erase
from workers.erase.verify import verify


@pytest.fixture
def town() -> Town:
    return inhabit()


def test_a_hold_waits_for_an_erasure_at_the_same_moment_and_finds_it_was_first(
    town: Town, begin: Begin
) -> None:
    with working(town.tenant_id):
        request_erasure(subject=None, document_ids=[town.about_bob], reason="a test", dry_run=False)
        other = begin(town.tenant_id, _holding(town))
        other.waits()
        keep_from_workers()

    with pytest.raises(BeingErased):
        other.result()
    assert doors_that_open(town, town.about_bob) == []
    with working(town.tenant_id):
        assert not RestrictionItem.objects.exists()


def test_an_erasure_waits_for_a_hold_at_the_same_moment_and_leaves_what_is_held(
    town: Town, begin: Begin, superuser: psycopg.Connection
) -> None:
    before = content_of(superuser, town, town.about_bob)

    def erasing() -> UUID | None:
        return request_erasure(
            subject=None, document_ids=[town.about_bob], reason="a test", dry_run=False
        ).id

    with working(town.tenant_id):
        _holding(town)()
        other = begin(town.tenant_id, erasing)
        other.waits()
    case_id = other.result()

    with working(town.tenant_id):
        assert get_document_as_custodian(document_id=town.about_bob).withheld_at is not None
    work_on_until(town, case_id, "held")
    assert content_of(superuser, town, town.about_bob) == before


@pytest.mark.parametrize("first", ["hold", "erasure"])
def test_of_a_member_too_the_first_of_hold_and_erasure_stands(
    town: Town, begin: Begin, first: str
) -> None:
    with working(town.tenant_id):
        loner = Member.objects.create(external_id=uuid4().hex, email=f"{uuid4().hex}@example.org")
    subject = SubjectRef("member", str(loner.pk))
    holding = partial(
        place_hold,
        subject=subject,
        document_ids=None,
        basis="e",
        review_at=timezone.now() + LATER,
        reason="a test",
    )
    erasing = partial(
        request_erasure, subject=subject, document_ids=None, reason="a test", dry_run=False
    )
    doing, waiting = (holding, erasing) if first == "hold" else (erasing, holding)

    with working(town.tenant_id):
        doing()
        other = begin(town.tenant_id, waiting)
        other.waits()
        keep_from_workers()

    if first == "hold":
        work_on_until(town, other.result().id, "held")
    else:
        with pytest.raises(BeingErased):
            other.result()
    with working(town.tenant_id):
        assert Member.objects.filter(pk=loner.pk).exists()
        assert RestrictionItem.objects.filter(object_id=loner.pk).exists() is (first == "hold")


def _holding(town: Town) -> Callable[[], RestrictionView]:
    return partial(
        place_hold,
        subject=None,
        document_ids=[town.about_bob],
        basis="e",
        review_at=timezone.now() + LATER,
        reason="a test",
    )


def test_a_hold_that_is_released_while_a_worker_is_at_the_case_loses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)

    def releasing(*args: Any, **named: Any) -> Any:
        release(town, found)
        return verify(*args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(flow, "verify", releasing)
        until_released(town, case_id, found)

    with working(town.tenant_id):
        assert Job.objects.filter(name=ERASE.name, object_id=case_id).exists()
    assert view_of(town.tenant_id, case_id).state == "hidden"
    assert work_on_until(town, case_id, "closed").complete


def until_released(town: Town, case_id: UUID, found: RestrictionView) -> None:
    """Work on a case until its hold was released on the way."""
    for _ in range(200):
        held = take(town.tenant_id, case_id)
        if held is not None:
            erase(held)
        with working(town.tenant_id):
            if get_restriction(kind="hold", restriction_id=found.id).lifted_at is not None:
                return
    raise TimeoutError


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_when_held_is_neither_read_nor_destroyed(seed: int) -> None:
    town, draw = inhabit(n_chunks=1), random.Random(seed)
    documents = sorted(town.everything)
    placed: list[RestrictionView] = []
    covered: set[UUID] = set()
    cases: list[UUID] = []
    for _ in range(14):
        some = draw.sample(documents, draw.randint(1, 3))
        held = _under(placed, hold_alone=True)
        step = draw.choice(["hold", "restrict", "lift", "erase", "work"])
        if step in {"hold", "restrict"}:
            lost = {one for one in some if one in covered and one not in held}
            try:
                placed.append(
                    hold(town, documents=some) if step == "hold" else restrict(town, some)
                )
                assert not lost
            except BeingErased:
                assert lost
        elif step == "lift" and placed:
            release(town, placed.pop(draw.randrange(len(placed))))
        elif step == "erase":
            case_id = file(town.tenant_id, documents=some).id
            assert case_id is not None
            cases.append(case_id)
            covered |= set(some)
        elif step == "work" and cases:
            work_on_until(town, draw.choice(cases), "held", "closed")
        held, hidden = _under(placed, hold_alone=True), _under(placed)
        assert documents_seen(town) == town.everything - covered - hidden, step
        assert held <= _with_key(town), step
    for found in placed:
        release(town, found)
    for case_id in cases:
        work_on_until(town, case_id, "closed")
    assert _with_key(town) == town.everything - covered
    assert documents_seen(town) == town.everything - covered


def _under(placed: Iterable[RestrictionView], *, hold_alone: bool = False) -> set[UUID]:
    return {
        one for found in placed if found.is_hold or not hold_alone for one in found.document_ids
    }


def _with_key(town: Town) -> set[UUID]:
    with working(town.tenant_id, custody=True):
        return set(DocumentKey.objects.values_list("document_id", flat=True))
