"""Archives beside erasures, deletions and killed workers: nothing erased is handed out or stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connections

from ambit.config.runtime.processes import ROOT
from ambit.corpus.disclosure import disclose_document, read_original
from ambit.corpus.holdings import versions_of
from ambit.corpus.queries import DocumentNotFound
from ambit.corpus.services import delete_document
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import find_person
from ambit.erasure.services import request_erasure
from ambit.export.queries import ExportOver, read_archive
from ambit.jobs.kinds import REMOVE_DOCUMENT
from ambit.jobs.models import Job
from tests.database.erasures import counts, file, keep_from_workers, receipt_of, work_on
from tests.database.exporting import (
    Place,
    archive_of,
    ask,
    ask_for,
    make,
    part,
    settle,
    take,
    view_of,
)
from tests.database.test_export import HERS, assert_nothing_left, files_of, words_in
from tests.database.worlds import working
from workers.erase.flow import remove
from workers.export import flow

# Where a worker may die, in the order it comes to them: before, or after, a step's side effect.
POINTS = [
    f"{when} {step}"
    for step in ("take_up", "note_contents", "write_archive", "mark_ready", "_hand_out")
    for when in ("before", "after")
]


@pytest.fixture
def place() -> Place:
    return settle()


def erase_alice(place: Place) -> UUID:
    """File the erasure of Alice; return the case's id."""
    case_id = file(place.tenant_id, subject=SubjectRef("email", place.alice.email)).id
    assert case_id is not None
    return case_id


def test_an_erasure_of_the_person_destroys_their_archive(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    case_id = erase_alice(place)
    assert work_on(place.tenant_id, case_id).state == "closed"

    view = view_of(place.tenant_id, export_id)
    assert (view.state, view.ended_because) == ("expired", "erasure")
    assert counts(receipt_of(place.tenant_id, case_id), "destroyed")["exports"] == 1
    assert_nothing_left(place.tenant_id, export_id)
    with pytest.raises(ExportOver), working(place.tenant_id):
        read_archive(export_id=export_id)


@pytest.mark.parametrize("document", ["alice", "nobody"])
def test_an_erasure_of_a_document_destroys_every_archive_that_was_made_from_it(
    place: Place, document: str
) -> None:
    # The handbook is no document of hers, but an answer that quotes it is.
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    case_id = file(place.tenant_id, documents=[place.documents[document]]).id
    assert case_id is not None
    assert work_on(place.tenant_id, case_id).state == "closed"

    assert view_of(place.tenant_id, export_id).ended_because == "erasure"
    assert_nothing_left(place.tenant_id, export_id)


def test_an_erasure_of_somebody_else_leaves_it(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    case_id = file(place.tenant_id, documents=[place.documents["bob"]]).id
    assert case_id is not None
    work_on(place.tenant_id, case_id)

    assert words_in(archive_of(place.tenant_id, export_id), place) == HERS


def test_a_deleted_document_takes_the_archive_along(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)
    with working(place.tenant_id):
        delete_document(document_id=place.documents["alice again"])
        keep_from_workers()

    held = take(place.tenant_id, place.documents["alice again"], kind=REMOVE_DOCUMENT)
    assert held is not None
    remove(held)

    assert_nothing_left(place.tenant_id, export_id)


def test_an_archive_goes_out_no_more_from_the_request_on(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)
    assert archive_of(place.tenant_id, export_id)

    erase_alice(place)

    with working(place.tenant_id), pytest.raises(ExportOver):
        read_archive(export_id=export_id)


def test_an_archive_goes_out_no_more_once_a_document_in_it_is_deleted(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    with working(place.tenant_id):
        delete_document(document_id=place.documents["alice again"])
        keep_from_workers()

    with working(place.tenant_id), pytest.raises(ExportOver):
        read_archive(export_id=export_id)


def test_an_archive_of_somebody_of_whom_nothing_is_held_goes_with_their_erasure(
    place: Place,
) -> None:
    nobody = SubjectRef("email", "nobody@example.org")
    export_id = ask(place.tenant_id, nobody)
    make(place.tenant_id, export_id)

    case_id = file(place.tenant_id, subject=nobody).id
    assert case_id is not None
    # At once, and before any worker has come to it.
    with working(place.tenant_id), pytest.raises(ExportOver):
        read_archive(export_id=export_id)
    work_on(place.tenant_id, case_id)

    assert_nothing_left(place.tenant_id, export_id)


def test_what_is_being_erased_is_not_given_out_any_more(place: Place) -> None:
    erase_alice(place)

    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    archive = archive_of(place.tenant_id, export_id)
    assert words_in(archive, place) == set()
    assert part(archive, "person.json")["member"] is None
    assert part(archive, "about.json")["being_destroyed"] == {"documents": 4, "member": True}
    assert part(archive, "about.json")["nothing_held"] is False


def test_each_door_to_what_is_erased_is_closed_by_itself(place: Place) -> None:
    erase_alice(place)
    document_id = place.documents["alice"]

    with working(place.tenant_id, custody=True):
        person = find_person(SubjectRef("email", place.alice.email))
        with pytest.raises(DocumentNotFound):
            disclose_document(document_id)
        with pytest.raises(DocumentNotFound):
            read_original(document_id, versions_of([document_id])[0])

    assert (person.document_ids, person.n_being_destroyed) == ((), 4)
    assert (person.member, person.member_is_being_erased) == (None, True)


@pytest.mark.parametrize("step", ["write_archive", "_hand_out"])
def test_an_erasure_while_it_is_made_wins(
    place: Place, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = ask_for(place)
    held = take(place.tenant_id, export_id)
    assert held is not None
    cases: list[UUID] = []
    own = getattr(flow, step)

    def erased_first(*args: object, **named: object) -> object:
        if not cases:
            cases.append(erase_elsewhere(place))
        return own(*args, **named)

    monkeypatch.setattr(flow, step, erased_first)
    flow.export(held)

    # Before any worker of the erasure has come by: nobody gets it.
    assert view_of(place.tenant_id, export_id).state == "received"
    monkeypatch.undo()
    with working(place.tenant_id):
        keep_from_workers()
    assert work_on(place.tenant_id, cases[0]).state == "closed"
    assert_nothing_left(place.tenant_id, export_id)
    assert take(place.tenant_id, export_id) is None


def erase_elsewhere(place: Place) -> UUID:
    """File the erasure of Alice in another session, as a person at the web server does."""

    def erase() -> UUID:
        try:
            return erase_alice(place)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(erase).result()


def test_a_worker_that_comes_after_the_end_leaves_nothing(place: Place) -> None:
    export_id = ask_for(place)
    held = take(place.tenant_id, export_id)
    assert held is not None
    hand_out = flow._hand_out

    def ended_first(*args: object, **named: object) -> bool:
        case_id = erase_elsewhere(place)
        work_elsewhere(place, case_id)
        return hand_out(*args, **named)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flow, "_hand_out", ended_first)
        flow.export(held)

    assert view_of(place.tenant_id, export_id).ended_because == "erasure"
    assert_nothing_left(place.tenant_id, export_id)


def work_elsewhere(place: Place, case_id: UUID) -> None:
    def work() -> None:
        try:
            work_on(place.tenant_id, case_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@pytest.fixture(scope="module")
def killer() -> Callable[[UUID, UUID, str], int]:
    """Return what lets a worker die at a point of an export, and says which signal ended it."""

    def kill(tenant_id: UUID, export_id: UUID, point: str) -> int:
        command = [sys.executable, "-W", "ignore", "-m", "tests.database.dying", "export"]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"}
        done = subprocess.run(
            [*command, str(tenant_id), str(export_id), point],
            cwd=ROOT,
            env=environment,
            timeout=120,
            check=False,
        )
        return -done.returncode

    return kill


def test_a_worker_killed_at_any_point_is_followed_by_one_that_ends_it(
    place: Place, killer: Callable[[UUID, UUID, str], int]
) -> None:
    for point in POINTS:
        export_id = ask_for(place)

        assert killer(place.tenant_id, export_id, point) == signal.SIGKILL, point
        state = view_of(place.tenant_id, export_id).state
        assert state == ("ready" if point == "after _hand_out" else "received"), point

        assert make(place.tenant_id, export_id).state == "ready", point
        assert words_in(archive_of(place.tenant_id, export_id), place) == HERS, point
        assert len(files_of(place.tenant_id, export_id)) == 1, point
        assert take(place.tenant_id, export_id) is None, point
    with working(place.tenant_id):
        assert not Job.objects.filter(name="export.pack").exists()


def test_an_export_that_cannot_be_made_ends_with_a_reason(place: Place) -> None:
    export_id = ask_for(place)
    held = take(place.tenant_id, export_id)
    assert held is not None

    flow.give_up(held)

    view = view_of(place.tenant_id, export_id)
    assert (view.state, view.ended_because) == ("failed", "unreadable")
    assert_nothing_left(place.tenant_id, export_id)
    assert take(place.tenant_id, export_id) is None


def test_an_archive_whose_documents_keep_going_ends_with_a_reason(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = ask_for(place)
    tries = 0

    def gone_again(*_: object, **__: object) -> bool:
        nonlocal tries
        tries += 1
        return False

    monkeypatch.setattr(flow, "_hand_out", gone_again)
    while take(place.tenant_id, export_id) and tries < 50:
        make(place.tenant_id, export_id)

    view = view_of(place.tenant_id, export_id)
    assert tries <= flow.MOST_BEGUN
    assert (view.state, view.ended_because) == ("failed", "changing")
    assert_nothing_left(place.tenant_id, export_id)


def test_a_dry_run_of_an_erasure_counts_the_archive_and_leaves_it(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)
    with working(place.tenant_id):
        seen = request_erasure(
            subject=SubjectRef("email", place.alice.email),
            document_ids=None,
            reason="x",
            dry_run=True,
        )

    assert seen.counts["export"] == 1
    assert view_of(place.tenant_id, export_id).state == "ready"
