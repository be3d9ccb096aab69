"""The ledger of tombstones: added to and never changed; one that was cut, edited or exchanged is no ledger."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from ambit.tombstones import ledger
from ambit.tombstones.ledger import NOWHERE, LedgerDamaged, LedgerUnusable, Place, Tombstone

N_LINES = 4
Edit = Callable[[list[str]], list[str]]


def _tombstone() -> Tombstone:
    return Tombstone(
        kind="case",
        tenant_id=uuid4(),
        object_id=uuid4(),
        document_ids=(uuid4(), uuid4()),
        member_ids=(uuid4(),),
        subjects=(("email", "00ff"),),
        held=(("e", "document", uuid4()),),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with override_settings(AMBIT_TOMBSTONES_DIR=tmp_path / "tombstones"):
        yield tmp_path / "tombstones"


@pytest.fixture
def places(folder: Path) -> list[Place]:
    return [_add() for _ in range(N_LINES)]


def _add(known: Place = NOWHERE, tombstone: Tombstone | None = None) -> Place:
    with ledger.opened(may_make=True) as book:
        book.read_after(known)
        return book.add(tombstone or _tombstone())


def _file(folder: Path) -> Path:
    return folder / ledger.FILE


def test_what_is_added_is_read_again_as_it_was(folder: Path) -> None:
    said = _tombstone()
    place = _add(tombstone=said)

    (line,) = ledger.read_after(NOWHERE)

    assert line.place == place
    assert line.tombstone.covers == said.covers
    assert line.tombstone.subjects == said.subjects
    assert line.tombstone.at is not None
    assert ledger.read_after(place) == []


def test_the_file_and_its_folder_are_closed_to_others(folder: Path, places: list[Place]) -> None:
    assert _file(folder).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_lines_after_a_known_one_are_read_without_those_before(
    folder: Path, places: list[Place]
) -> None:
    assert [one.place for one in ledger.read_after(places[1])] == places[2:]


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], lines[1].replace("case", "document"), *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: ["{}", *lines[1:]],
        lambda lines: ["not JSON", *lines[1:]],
        lambda lines: [lines[0], json.dumps(json.loads(lines[1]) | {"members": []}), *lines[2:]],
    ],
    ids=["left out", "swapped", "doubled", "edited", "beheaded", "emptied", "broken", "thinned"],
)
def test_a_change_in_the_middle_is_found(folder: Path, places: list[Place], edit: Edit) -> None:
    lines = _file(folder).read_text().splitlines()
    _file(folder).write_text("\n".join(edit(lines)) + "\n")

    with pytest.raises(LedgerDamaged):
        ledger.read_after(NOWHERE)


def test_a_ledger_that_ends_before_the_known_line_is_found(
    folder: Path, places: list[Place]
) -> None:
    lines = _file(folder).read_text().splitlines()
    _file(folder).write_text("\n".join(lines[:-1]) + "\n")

    with pytest.raises(LedgerDamaged, match="line 4 is not the one"):
        ledger.read_after(places[-1])


def test_another_ledger_is_found(folder: Path, places: list[Place]) -> None:
    _file(folder).unlink()
    _add()

    with pytest.raises(LedgerDamaged):
        ledger.read_after(places[0])


def test_a_missing_ledger_is_no_empty_one(folder: Path, places: list[Place]) -> None:
    _file(folder).unlink()

    assert ledger.read_after(NOWHERE) == []
    with pytest.raises(LedgerUnusable, match="missing"):
        ledger.read_after(places[-1])
    with pytest.raises(LedgerUnusable, match="missing"), ledger.opened(may_make=False):
        pass
    assert not _file(folder).exists()


def test_a_line_that_a_killed_writer_left_half_written_was_never_added(
    folder: Path, places: list[Place]
) -> None:
    with _file(folder).open("a") as file:
        file.write('{"n": 5, "prev"')

    assert [one.place for one in ledger.read_after(NOWHERE)] == places
    place = _add()
    assert place.number == N_LINES + 1
    assert [one.place for one in ledger.read_after(NOWHERE)] == [*places, place]


@contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    """Let no file grow beyond what the ledger and half a line take."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_file(folder).stat().st_size + 100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_a_line_is_there_whole_or_not_at_all(
    folder: Path, places: list[Place]
) -> None:
    before = _file(folder).read_bytes()

    with _full_disk(folder), pytest.raises(LedgerUnusable, match="cannot be written"):
        _add()

    assert _file(folder).read_bytes() == before
    assert _add().number == N_LINES + 1


def test_a_folder_whose_disk_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    elsewhere = tmp_path / "mnt" / "tombstones"
    with override_settings(AMBIT_TOMBSTONES_DIR=elsewhere), pytest.raises(LedgerUnusable):
        _add()

    assert not elsewhere.parent.exists()


def test_nobody_adds_while_another_does(folder: Path, places: list[Place]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with ledger.opened(may_make=True) as book:
            other = pool.submit(_add)
            time.sleep(0.1)
            book.read_after(NOWHERE)
            mine = book.add(_tombstone())
        assert other.result(timeout=10).number == N_LINES + 2
    lines = ledger.read_after(NOWHERE)
    assert len(lines) == N_LINES + 2
    assert lines[N_LINES].place == mine


def test_who_says_the_same_again_says_nothing_new() -> None:
    said, nobody = _tombstone(), UUID(int=0)
    again = Tombstone(
        kind=said.kind,
        tenant_id=said.tenant_id,
        object_id=said.object_id,
        document_ids=said.document_ids[::-1],
        member_ids=said.member_ids,
        # The member is gone by then, and what declared it cannot be told any more.
        subjects=(),
        held=said.held,
    )

    assert again.covers == said.covers
    assert _tombstone().covers != said.covers
    assert Tombstone("case", nobody, nobody).covers != Tombstone("tenant", nobody, nobody).covers
