"""Nothing is destroyed before it is written down outside, and a ledger that cannot tell keeps everything shut."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import ProgrammingError, connections
from django.test import override_settings

from ambit.config.restored import NotReplayed, require_replayed, tombstone_faults
from ambit.corpus.services import delete_document
from ambit.erasure import tombstones
from ambit.erasure.models import Erasure
from ambit.erasure.queries import ReceiptNotReady
from ambit.erasure.tombstones import DISPATCH, WORDS, begin_ledger, known_place
from ambit.erasure.types import ErasureView
from ambit.jobs.kinds import REMOVE_DOCUMENT
from ambit.tombstones import ledger, register
from ambit.tombstones.ledger import NOWHERE, Tombstone
from tests.database.erasures import (
    Town,
    email_of,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    rows_of,
    take,
    view_of,
    work_on,
)
from tests.database.exporting import take as take_any
from tests.database.holding import hold, release
from tests.database.worlds import working
from workers.erase.flow import erase, remove

pytestmark = pytest.mark.usefixtures("begun")


@pytest.fixture(scope="module")
def begun(_database: None) -> None:
    """Have a ledger, as every installation that was started has, and a line in it."""
    begin_ledger()
    town = inhabit(n_chunks=1)
    work_on(town.tenant_id, file_for(town))


@pytest.fixture
def town() -> Town:
    return inhabit()


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """Let the settings name a copy of the session's ledger; nothing is to be destroyed meanwhile."""
    folder = tmp_path / "tombstones"
    shutil.copytree(settings.AMBIT_TOMBSTONES_DIR, folder)
    with override_settings(AMBIT_TOMBSTONES_DIR=folder):
        yield folder / ledger.FILE


def test_a_register_of_backups_is_begun_with_the_ledger() -> None:
    assert (ledger.folder() / register.FILE).is_file()


def _try(town: Town, case_id: UUID) -> ErasureView:
    held = take(town.tenant_id, case_id)
    assert held is not None
    erase(held)
    with working(town.tenant_id):
        keep_from_workers()
    return view_of(town.tenant_id, case_id)


def _lines_of(object_id: UUID) -> list[Tombstone]:
    lines = [line.tombstone for line in ledger.read_after(NOWHERE)]
    return [one for one in lines if one.object_id == object_id]


def _kept(superuser: psycopg.Connection, town: Town) -> dict[str, set[str]]:
    """Return every row of the tenant but its archives', which are stopped where the case is taken up."""
    rows = rows_of(superuser, town.tenant_id)
    del rows["export_export"]
    return rows


@contextmanager
def _a_file_in_its_place(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "file").write_text("")
    with override_settings(AMBIT_TOMBSTONES_DIR=tmp_path / "file"):
        yield


@contextmanager
def _a_full_disk(_tmp_path: Path) -> Iterator[None]:
    size = (ledger.folder() / ledger.FILE).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("broken", [_a_file_in_its_place, _a_full_disk])
def test_while_the_ledger_cannot_be_written_nothing_is_destroyed_and_the_case_says_so(
    town: Town,
    superuser: psycopg.Connection,
    tmp_path: Path,
    broken: Callable[[Path], AbstractContextManager[None]],
) -> None:
    case_id = file_for(town)
    before = _kept(superuser, town)
    with broken(tmp_path):
        view = _try(town, case_id)

    assert (view.state, view.waits_for) == ("scoped", WORDS["ledger"])
    assert _kept(superuser, town) == before
    with pytest.raises(ReceiptNotReady):
        receipt_of(town.tenant_id, case_id)
    closed = work_on(town.tenant_id, case_id)
    assert (closed.state, closed.waits_for) == ("closed", "")
    assert len(_lines_of(case_id)) == 1


def test_a_deletion_waits_for_the_ledger_too(
    town: Town, superuser: psycopg.Connection, tmp_path: Path
) -> None:
    with working(town.tenant_id):
        delete_document(document_id=town.about_bob)
        keep_from_workers()
    before = _kept(superuser, town)
    held = take_any(town.tenant_id, town.about_bob, kind=REMOVE_DOCUMENT)
    assert held is not None
    with _a_file_in_its_place(tmp_path):
        remove(held)

    assert _kept(superuser, town) == before
    held = take_any(town.tenant_id, town.about_bob, kind=REMOVE_DOCUMENT)
    assert held is not None
    remove(held)
    (line,) = _lines_of(town.about_bob)
    assert (line.kind, line.document_ids) == ("document", (town.about_bob,))


def test_a_worker_without_its_login_destroys_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = file_for(town)
    monkeypatch.setattr(tombstones, "DISPATCH", "nobody")

    assert _try(town, case_id).waits_for == WORDS["dispatch"]


def test_a_line_says_ids_and_keyed_hashes_and_no_identifier(town: Town) -> None:
    email = email_of(town)
    case_id = file_for(town)
    work_on(town.tenant_id, case_id)

    (line,) = _lines_of(case_id)
    assert set(line.document_ids) == set(town.about_alice)
    assert line.member_ids == (town.alice,)
    assert {kind for kind, _ in line.subjects} == {"email", "external_id", "member"}
    text = (ledger.folder() / ledger.FILE).read_text()
    name = email.partition("@")[0]
    assert not any(word in text for word in (email, name, "Alice", "Lind"))


def test_a_worker_killed_before_the_database_notes_a_line_leaves_no_second_one(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = file_for(town)
    held = take(town.tenant_id, case_id)
    assert held is not None
    with monkeypatch.context() as killed:
        killed.setattr(tombstones, "note", _die)
        with pytest.raises(KeyboardInterrupt):
            erase(held)
    # Beyond what the database notes, and known all the same: nothing is refused.
    require_replayed()

    assert work_on(town.tenant_id, case_id).state == "closed"
    assert len(_lines_of(case_id)) == 1


def _die(_lines: object) -> None:
    raise KeyboardInterrupt


def test_what_a_release_lets_go_is_a_line_of_its_own(town: Town) -> None:
    kept = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)
    while view_of(town.tenant_id, case_id).state != "held":
        _try(town, case_id)
    release(town, kept)
    work_on(town.tenant_id, case_id)

    first, second = _lines_of(case_id)
    assert first.held == (("e", "document", town.about_alice[0]),)
    assert town.about_alice[0] not in first.document_ids
    assert (set(second.document_ids), second.held) == (set(town.about_alice), ())


def test_a_whole_ledger_is_no_fault(copy: Path) -> None:
    require_replayed()
    assert tombstone_faults() == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "it is missing"),
        (lambda path: shutil.rmtree(path.parent), "it is missing"),
        (lambda path: path.write_text(""), "it is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "ends with line"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"n":1,', b'"n":1 ,')), "line 2"),
        (lambda path: path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[1:])), "line 1"),
    ],
    ids=["gone", "with its folder", "emptied", "cut", "edited", "beheaded"],
)
def test_a_ledger_that_is_not_the_one_that_the_database_knows_is_refused(
    copy: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(copy)

    with pytest.raises(NotReplayed) as refused:
        require_replayed()

    assert words in str(refused.value)
    assert str(copy) in str(refused.value)


def test_a_worker_whose_ledger_was_exchanged_destroys_nothing(town: Town, copy: Path) -> None:
    case_id = file_for(town)
    copy.unlink()
    copy.write_text("")

    view = _try(town, case_id)

    assert view.waits_for in {WORDS["damaged"], WORDS["ledger"]}
    assert copy.read_text() == ""


def test_lines_that_this_database_has_never_heard_of_are_refused(town: Town, copy: Path) -> None:
    said = Tombstone("case", town.tenant_id, uuid4(), document_ids=(town.about_bob,))
    with ledger.opened(may_make=False) as book:
        book.read_after(known_place())
        book.add(said)

    with pytest.raises(NotReplayed, match="1 tombstones are not replayed"):
        require_replayed()
    assert tombstone_faults() != []
    case_id = file_for(town)
    assert _try(town, case_id).waits_for == WORDS["replay"]


@pytest.mark.parametrize("kind", ["case", "document", "tenant"])
def test_lines_about_a_tenant_that_is_not_here_are_nothing_to_do(copy: Path, kind: str) -> None:
    said = Tombstone(kind, uuid4(), uuid4(), document_ids=(uuid4(),))  # type: ignore[arg-type]  # a kind
    with ledger.opened(may_make=False) as book:
        book.read_after(known_place())
        book.add(said)

    require_replayed()


def test_the_application_cannot_say_that_a_line_is_known() -> None:
    with connections["default"].cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("INSERT INTO erasure_tombstone VALUES (999999999, '', '', 0, 0)")
    with connections[DISPATCH].cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("DELETE FROM erasure_tombstone")


def test_marks_of_another_cluster_are_taken_anew(town: Town) -> None:
    """As after a dump was restored: its numbers of transactions and segments lie far ahead of this one's."""
    case_id = file_for(town)
    with working(town.tenant_id):
        Erasure.objects.filter(pk=case_id).update(
            database_system=1,
            request_xid=2**40,
            shredded_xid=2**40,
            log_segment="0000000100000FFF000000FF",
        )

    closed = work_on(town.tenant_id, case_id)

    assert closed.state == "closed"
    assert 0 < closed.shredded_xid < 2**40
