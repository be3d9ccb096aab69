"""An erasure while keys are away: what can be destroyed is, the case waits and says so, and then ends."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings as current
from pytest_django import Settings

from ambit.corpus.models import Document, Subject
from ambit.corpus.subjects import subject_mac
from ambit.corpus.types import SubjectRef
from ambit.erasure.queries import ReceiptNotReady
from ambit.erasure.reasons import UNREADABLE
from ambit.erasure.waiting import KEYS, WORDS
from ambit.keys.signing import FILE
from tenants.models import Member
from tenants.scope import custody_scope
from tests.database.erasures import (
    Town,
    documents_seen,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    rows_of,
    take,
    view_of,
    work_on,
    work_until_it_waits,
)
from tests.database.readers import Begin
from tests.database.worlds import Passage, make_member, publish, unit, working
from workers.erase.flow import erase

CONTENT = ("documentkey", "chunk", "chunkvector", "chunklexemes", "subject", "mention")


@pytest.fixture
def town(_database: None) -> Town:
    return inhabit(n_chunks=1)


@contextmanager
def _lost(tenant_id: UUID) -> Iterator[None]:
    """Let a tenant's keys be gone until the block ends."""
    path = Path(current.AMBIT_KEYRING_DIR) / f"{tenant_id}.json"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(path)


def test_a_case_destroys_what_it_can_without_keys_and_says_what_it_waits_for(
    town: Town, superuser: psycopg.Connection
) -> None:
    case_id = file_for(town)

    with _lost(town.tenant_id):
        waiting = work_until_it_waits(town.tenant_id, case_id)
        with pytest.raises(ReceiptNotReady):
            receipt_of(town.tenant_id, case_id)

    assert (waiting.waits_for, waiting.reason) == (WORDS[KEYS], UNREADABLE)
    # The person's own record is still there, by which more of theirs may be found: nothing is called shredded.
    assert waiting.state == "scoped"
    rows = rows_of(superuser, town.tenant_id)
    left = [
        row
        for table in CONTENT
        for row in rows[f"corpus_{table}"]
        if any(str(one) in row for one in town.about_alice)
    ]
    assert left == []
    assert any(str(town.alice) in row for row in rows["tenants_member"])
    found = {h.name: (h.found, h.destroyed) for h in waiting.holdings if h.found}
    assert found["members"] == (1, 0)
    assert found["document_keys"] == (3, 3)


def test_of_a_person_without_documents_nothing_goes_without_keys(town: Town) -> None:
    with working(town.tenant_id):
        member_id = make_member("Zoe")
    case_id = file(town.tenant_id, subject=SubjectRef("member", str(member_id))).id
    assert case_id is not None

    with _lost(town.tenant_id):
        work_until_it_waits(town.tenant_id, case_id)
        with working(town.tenant_id):
            still_there = Member.objects.filter(pk=member_id).exists()
    closed = work_on(town.tenant_id, case_id)

    assert still_there
    assert closed.state == "closed"
    with working(town.tenant_id):
        assert not Member.objects.filter(pk=member_id).exists()


def test_a_case_goes_on_by_itself_when_keys_are_back(town: Town) -> None:
    case_id = file_for(town)
    with _lost(town.tenant_id):
        work_until_it_waits(town.tenant_id, case_id)

    closed = work_on(town.tenant_id, case_id)

    assert (closed.state, closed.waits_for) == ("closed", "")
    assert receipt_of(town.tenant_id, case_id)["outcome"] == "destroyed"
    assert closed.reason == "Art. 17 GDPR"
    assert documents_seen(town) == {town.uploaded_by_alice, town.about_namesake, town.about_bob}


def _document(town: Town) -> UUID:
    return publish(
        tenant_id=town.tenant_id,
        by=town.bob,
        collection_id=town.collection_id,
        passages=[Passage("late", unit(1))],
    )


def _declare_alice(town: Town, document_id: UUID) -> None:
    """Declare her by another identifier than the request names, which only a keyed hash finds."""
    with custody_scope():
        external = SubjectRef("external_id", Member.objects.get(pk=town.alice).external_id)
        Subject.objects.create(
            document_id=document_id,
            audience_id=Document.objects.get(pk=document_id).audience_id,
            type=external.type,
            value_mac=subject_mac(external),
        )


def test_what_came_in_late_is_looked_for_once_keys_are_back(town: Town) -> None:
    late = _document(town)
    case_id = file_for(town)
    with working(town.tenant_id):
        _declare_alice(town, late)

    with _lost(town.tenant_id):
        waiting = work_until_it_waits(town.tenant_id, case_id)
    closed = work_on(town.tenant_id, case_id)

    assert closed.counts["document"] == waiting.counts["document"] + 1
    assert late not in documents_seen(town)


def test_what_was_under_way_at_the_request_is_found_by_each_of_the_persons_identifiers(
    town: Town, begin: Begin
) -> None:
    late, declared, go_on = _document(town), threading.Event(), threading.Event()

    def declare() -> None:
        _declare_alice(town, late)
        declared.set()
        assert go_on.wait(30)

    other = begin(town.tenant_id, declare)
    assert declared.wait(30)
    case_id = file_for(town)
    held = take(town.tenant_id, case_id)
    assert held is not None
    # The worker comes before that commits.
    erase(held)
    with working(town.tenant_id):
        keep_from_workers()
    go_on.set()
    other.result()

    assert work_on(town.tenant_id, case_id).state == "closed"
    assert late not in documents_seen(town)


def test_waiting_costs_no_attempt(town: Town) -> None:
    case_id = file_for(town)
    with _lost(town.tenant_id):
        for _ in range(3):
            work_until_it_waits(town.tenant_id, case_id)

        assert view_of(town.tenant_id, case_id).attempts == 0

    assert work_on(town.tenant_id, case_id).attempts == 1


def test_a_case_that_left_nothing_on_disk_does_not_say_that_it_waits_for_ever(
    town: Town, settings: Settings, tmp_path: Path
) -> None:
    case_id = file(town.tenant_id, subject=SubjectRef("email", "nobody@example.org")).id
    assert case_id is not None
    before = settings.AMBIT_KEYRING_DIR
    without = shutil.copytree(before, tmp_path / "keyring", ignore=shutil.ignore_patterns(FILE))
    settings.AMBIT_KEYRING_DIR = without
    work_until_it_waits(town.tenant_id, case_id)
    settings.AMBIT_KEYRING_DIR = before

    closed = work_on(town.tenant_id, case_id)

    assert (closed.state, closed.waits_for) == ("closed", "")
