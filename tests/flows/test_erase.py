"""Erasures from request to receipt, by real workers that die, come late, and meet each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connections

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document, upload_document
from ambit.config.runtime.supervisor import Stack
from ambit.corpus.ingest import NothingToDo, StoredChunk, open_source, store_chunks
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.types import SubjectRef, Upload
from ambit.erasure.cases import is_settled
from ambit.erasure.models import Erasure
from ambit.erasure.queries import ReceiptNotReady
from ambit.erasure.registry import HOLDINGS, REWRITTEN
from ambit.files.store import list_files
from ambit.jobs.kinds import INGEST_VERSION, REMOVE_DOCUMENT
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, ClaimLost, claim
from ambit.tombstones import ledger
from tenants.audit import Actor, acting_as
from tenants.models import Member
from tests.database.erasures import (
    Town,
    counts,
    documents_seen,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    seen_by,
    take,
    view_of,
    work_on,
)
from tests.database.worlds import unit, working
from tests.flows.crashes import points, steps
from workers.erase import destroy as destroying
from workers.erase import flow
from workers.erase.flow import erase, remove

Killer = Callable[[UUID, UUID, str], int]
SECONDS = 30


pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def town() -> Town:
    return inhabit()


@pytest.fixture(scope="module")
def kill(session_stack: Stack) -> Iterator[Killer]:
    """Return what runs a case's job in a process that dies at a point, and tells by which signal."""
    command = [sys.executable, "-m", "tests.flows.crashes"]
    # The settings of the tests would make a data directory of its own.
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ambit.config.settings"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(tenant_id: UUID, case_id: UUID, point: str) -> int:
            line = f"{tenant_id}\t{case_id}\t{point}\t0\t{int(signal.SIGKILL)}\n"
            process.stdin.write(line)  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            ended_by, _came = process.stdout.readline().split()  # type: ignore[union-attr]
            return int(ended_by)

        yield run
        process.stdin.close()


def test_a_worker_killed_at_every_point_in_turn_still_ends_closed(town: Town, kill: Killer) -> None:
    whole = inhabit()
    whole_case = file_for(whole)
    work_on(whole.tenant_id, whole_case)
    kept = town.everything - set(town.about_alice)
    case_id = file_for(town)
    wait_until_settled(town, case_id)

    for point in points():
        died_by = kill(town.tenant_id, case_id, point)

        assert died_by == signal.SIGKILL, point
        with working(town.tenant_id):
            assert {p.document_id for p in seen_by(town.bob)} == kept, point
        state = view_of(town.tenant_id, case_id).state
        if point == points()[-1]:
            assert state == "closed"
        else:
            assert state in {"hidden", "scoped", "shredded", "scrubbed"}, point
            with pytest.raises(ReceiptNotReady):
                receipt_of(town.tenant_id, case_id)

    receipt = receipt_of(town.tenant_id, case_id)
    once = receipt_of(whole.tenant_id, whole_case)
    assert take(town.tenant_id, case_id) is None
    assert receipt["complete"] is True
    # Written down before anything went, and once.
    lines = [line.tombstone for line in ledger.read_after(ledger.NOWHERE)]
    (tombstone,) = [one for one in lines if one.object_id == case_id]
    assert set(tombstone.document_ids) == set(town.about_alice)
    for what in ("found", "destroyed", "remaining"):
        assert counts(receipt, what) == counts(once, what)
    assert documents_seen(town) == kept


def test_the_points_of_death_are_all_there_are() -> None:
    modules = {vars(flow)[name].__module__.rpartition(".")[2] for name in steps()}
    files = {path.stem for path in Path(str(flow.__file__)).parent.glob("*.py")}

    # Handlers of jobs of their own, which are no steps of a case.
    others = {"forget", "remind", "retain"}
    assert modules == files - {"__init__", "flow", "types"} - others
    single = ["before number", "before log", "after log", "closing"]
    n_inside = 2 * len(HOLDINGS) + 2 * len(REWRITTEN) + len(single)
    assert len(points()) == n_inside + len([*steps(), "_come_back"])


def test_an_ingest_that_was_under_way_brings_nothing_back(town: Town) -> None:
    document_id, held = upload_about_alice(town)
    with acting_as(Actor("worker", None)):
        source = open_source(held)
    case_id = file_for(town)

    view = work_on(town.tenant_id, case_id)

    assert view.state == "closed"
    assert view.counts["document"] == 4
    with acting_as(Actor("worker", None)):
        with pytest.raises(NothingToDo):
            source.write_text("Alice Lind lives at Quay Lane.")
        with pytest.raises((NothingToDo, ClaimLost)):
            store_chunks(held, source=source, chunks=[CHUNK])
    assert list_files(tenant_id=town.tenant_id, document_id=document_id) == []
    assert document_id not in documents_seen(town)
    with working(town.tenant_id):
        assert get_document_as_custodian(document_id=document_id).latest.state == "erased"


def test_an_ingest_that_ends_between_request_and_work_brings_nothing_back(town: Town) -> None:
    document_id, held = upload_about_alice(town)
    with acting_as(Actor("worker", None)):
        source = open_source(held)
    case_id = file_for(town)
    with acting_as(Actor("worker", None)):
        source.write_text("Alice Lind lives at Quay Lane.")
        with pytest.raises(NothingToDo):
            store_chunks(held, source=source, chunks=[CHUNK])

    view = work_on(town.tenant_id, case_id)

    assert view.state == "closed"
    assert list_files(tenant_id=town.tenant_id, document_id=document_id) == []
    assert counts(receipt_of(town.tenant_id, case_id), "destroyed")["originals"] == 6 + 2


def test_an_upload_that_was_under_way_at_the_request_is_covered(town: Town) -> None:
    stored, done = threading.Event(), threading.Event()
    made: list[UUID] = []

    def upload() -> None:
        try:
            with working(town.tenant_id):
                made.append(_upload(town))
                keep_from_workers()
                stored.set()
                done.wait(SECONDS)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload)
        stored.wait(SECONDS)
        case_id = file_for(town)
        held = take(town.tenant_id, case_id)
        assert held is not None
        erase(held)
        early = view_of(town.tenant_id, case_id)
        done.set()
        uploading.result(SECONDS)

    view = work_on(town.tenant_id, case_id)

    # Her own record is still there, by which the rest is found: nothing is called shredded.
    assert (early.state, early.counts["document"]) == ("scoped", 3)
    assert (view.state, view.counts["document"]) == ("closed", 4)
    assert list_files(tenant_id=town.tenant_id, document_id=made[0]) == []


def test_what_is_uploaded_after_the_request_is_not_covered(town: Town) -> None:
    with working(town.tenant_id):
        email = Member.objects.get(pk=town.alice).email
    case_id = file_for(town)
    with working(town.tenant_id):
        later = _upload(town, email=email)
        keep_from_workers()

    work_on(town.tenant_id, case_id)

    assert len(list_files(tenant_id=town.tenant_id, document_id=later)) == 1


def test_a_document_of_two_cases_closes_both(town: Town) -> None:
    first = file_for(town)
    second = file(town.tenant_id, documents=[town.about_alice[0], town.about_bob]).id
    assert second is not None

    views = [work_on(town.tenant_id, case_id) for case_id in (first, second)]

    assert [view.state for view in views] == ["closed", "closed"]
    assert documents_seen(town) == {town.uploaded_by_alice, town.about_namesake}


def test_two_workers_on_overlapping_cases_do_not_cross(town: Town) -> None:
    cases = [file_for(town)]
    for documents in ([*town.about_alice], [town.about_alice[2], town.about_bob]):
        case_id = file(town.tenant_id, documents=documents).id
        assert case_id is not None
        cases.append(case_id)

    def work(case_id: UUID) -> str:
        try:
            return work_on(town.tenant_id, case_id).state
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(cases)) as pool:
        states = list(pool.map(work, cases))

    assert states == ["closed"] * len(cases)
    assert documents_seen(town) == {town.uploaded_by_alice, town.about_namesake}


def test_a_second_request_for_a_forgotten_person_holds_nothing(town: Town) -> None:
    with working(town.tenant_id):
        email = Member.objects.get(pk=town.alice).email
    work_on(town.tenant_id, file_for(town))

    again = file(town.tenant_id, subject=SubjectRef("email", email)).id
    by_id = file(town.tenant_id, documents=list(town.about_alice)).id

    assert again is not None
    assert by_id is not None
    for case_id in (again, by_id):
        assert work_on(town.tenant_id, case_id).state == "closed"
    receipt = receipt_of(town.tenant_id, again)
    assert receipt["outcome"] == "nothing held"
    assert set(counts(receipt_of(town.tenant_id, by_id), "found")) <= {"model_cache"}


def test_a_worker_that_lost_its_case_changes_nothing(town: Town) -> None:
    case_id = file_for(town)
    late = take(town.tenant_id, case_id)
    assert late is not None
    assert take(town.tenant_id, case_id) is not None

    with pytest.raises(ClaimLost):
        erase(late)

    assert view_of(town.tenant_id, case_id).state == "hidden"
    assert len(list_files(tenant_id=town.tenant_id, document_id=town.about_alice[0])) == 2


def test_a_worker_that_loses_its_case_on_the_way_stops_there(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = file_for(town)
    held = take(town.tenant_id, case_id)
    assert held is not None
    lost = replace(HOLDINGS[1], destroy=lambda scope: take(town.tenant_id, case_id))
    monkeypatch.setattr(destroying, "HOLDINGS", (HOLDINGS[0], lost, *HOLDINGS[2:]))

    with pytest.raises(ClaimLost):
        erase(held)

    assert view_of(town.tenant_id, case_id).state == "scoped"
    assert len(list_files(tenant_id=town.tenant_id, document_id=town.about_alice[0])) == 2


def test_a_deleted_document_is_destroyed_without_a_case(town: Town) -> None:
    with working(town.tenant_id):
        clearance = clearance_for(member_id=town.bob)
        delete_document(clearance=clearance, document_id=town.about_bob)
        job = Job.objects.get(name=REMOVE_DOCUMENT.name)
        held = claim(tenant_id=town.tenant_id, job_id=job.pk)
    assert held is not None

    remove(held)

    with working(town.tenant_id):
        assert not Job.objects.filter(pk=job.pk).exists()
        assert get_document_as_custodian(document_id=town.about_bob).erased_at is not None
        assert Member.objects.filter(pk=town.bob, suspended_at=None).exists()
    assert list_files(tenant_id=town.tenant_id, document_id=town.about_bob) == []
    assert documents_seen(town) == town.everything - {town.about_bob}


CHUNK = StoredChunk(
    ordinal=0,
    char_start=0,
    char_end=10,
    page_first=None,
    page_last=None,
    n_tokens=5,
    section="",
    text="Alice Lind",
    embedded_text="Alice Lind",
    vector=unit(1).tolist(),
)


def wait_until_settled(town: Town, case_id: UUID) -> None:
    """Wait for transactions of other tests that are as old as the request."""
    for _ in range(200):
        with working(town.tenant_id):
            if is_settled(Erasure.objects.get(pk=case_id)):
                return
        threading.Event().wait(0.05)
    raise TimeoutError


def upload_about_alice(town: Town) -> tuple[UUID, Claim]:
    """Upload a document about Alice and take its ingest job."""
    with working(town.tenant_id):
        document_id = _upload(town)
        job = Job.objects.filter(name=INGEST_VERSION.name).latest("pk")
        held = claim(tenant_id=town.tenant_id, job_id=job.pk)
    assert held is not None
    return document_id, held


def _upload(town: Town, *, email: str = "") -> UUID:
    upload = partial(
        upload_document,
        clearance=clearance_for(member_id=town.bob),
        collection_id=town.collection_id,
        grants=None,
    )
    return upload(
        upload=Upload(
            title="A letter",
            file_name=f"{uuid4()}.txt",
            media_type="text/plain",
            chunks=[b"Alice Lind lives at Quay Lane."],
            subjects=(SubjectRef("email", email or Member.objects.get(pk=town.alice).email),),
            created_by_id=town.bob,
        )
    )
