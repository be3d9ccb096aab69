"""What a receipt says of backups is never earlier than the truth; where that is not known, it says so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from ambit.erasure import backups
from ambit.erasure.backups import known_backups
from ambit.tombstones import ledger
from ambit.tombstones import register as registering
from ambit.tombstones.register import (
    Backup,
    RegisterUnusable,
    State,
    begin_register,
    kept_backups,
    register,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "tombstones"
    made.mkdir()
    with override_settings(AMBIT_TOMBSTONES_DIR=made, AMBIT_OTHER_BACKUPS_KEEP_DAYS=None):
        yield made


def _backup(tmp_path: Path, name: str, *, days: float, state: State = "whole") -> Backup:
    now = timezone.now()
    kept = Backup(name, str(tmp_path), now - timedelta(days=40), now + timedelta(days=days), state)
    register(kept)
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "data").write_text("bytes")
    return kept


def _change(folder: Path, before: str, after: str) -> None:
    text = (folder / registering.FILE).read_text()
    assert before in text
    (folder / registering.FILE).write_text(text.replace(before, after))


def _expire(*arguments: str) -> str:
    said = io.StringIO()
    call_command("expire_backups", *arguments, stdout=said)
    return said.getvalue()


def test_where_none_is_known_no_date_is_said() -> None:
    assert known_backups() == backups.Backups(None, backups.NONE_KNOWN)


def test_the_last_of_them_counts_the_one_that_is_being_made_too(tmp_path: Path) -> None:
    _backup(tmp_path, "a", days=3)
    last = _backup(tmp_path, "b", days=9, state="begun")
    _backup(tmp_path, "c", days=5)

    known = known_backups()

    assert known.expire_at == last.expires_at
    assert "kept: 3." in known.words
    assert backups.OTHERS_UNKNOWN in known.words


def test_backups_of_others_are_counted_from_now(tmp_path: Path) -> None:
    _backup(tmp_path, "a", days=3)
    before = timezone.now()
    with override_settings(AMBIT_OTHER_BACKUPS_KEEP_DAYS=35):
        known = known_backups()

    assert known.expire_at is not None
    assert known.expire_at >= before + timedelta(days=35)


def test_that_there_are_no_others_is_the_operators_word(tmp_path: Path) -> None:
    with override_settings(AMBIT_OTHER_BACKUPS_KEEP_DAYS=0):
        known = known_backups()

    assert (known.expire_at, backups.NO_OTHERS in known.words) == (None, True)


def test_while_one_is_overdue_no_date_is_said(tmp_path: Path) -> None:
    _backup(tmp_path, "late", days=-1)
    _backup(tmp_path, "a", days=3)

    known = known_backups()

    assert known.expire_at is None
    assert "1 of them should have been deleted" in known.words


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / registering.FILE).write_text("{}\n"),
        lambda folder: (folder / registering.FILE).write_text("half\n"),
        lambda folder: _change(folder, '"name": "a"', '"name": "../a"'),
        lambda folder: _change(folder, "+00:00", ""),
        lambda folder: (folder / registering.FILE).unlink() or folder.rmdir(),
        lambda folder: (folder / registering.FILE).unlink() or (folder / registering.FILE).mkdir(),
    ],
    ids=[
        "emptied",
        "broken",
        "a name elsewhere",
        "times of nowhere",
        "folder gone",
        "a folder in its place",
    ],
)
def test_a_register_that_cannot_be_read_is_not_an_empty_one(
    folder: Path, tmp_path: Path, damage: object
) -> None:
    _backup(tmp_path, "a", days=3)
    damage(folder)  # type: ignore[operator]  # one of the above

    with pytest.raises(RegisterUnusable):
        kept_backups()
    assert known_backups() == backups.Backups(None, backups.UNREADABLE)


def test_a_ledger_that_was_brought_without_the_register_is_no_sign_that_there_are_no_backups(
    folder: Path, tmp_path: Path
) -> None:
    (folder / ledger.FILE).write_text("{}\n")

    assert known_backups() == backups.Backups(None, backups.UNREADABLE)
    with pytest.raises(RegisterUnusable, match="bring it"):
        _backup(tmp_path, "a", days=3)

    begin_register()
    assert known_backups() == backups.Backups(None, backups.NONE_KNOWN)
    _backup(tmp_path, "a", days=3)
    begin_register()
    assert [one.name for one in kept_backups()] == ["a"]


def test_one_that_was_cut_off_is_not_listed_as_a_backup(tmp_path: Path) -> None:
    _backup(tmp_path, "cut", days=3, state="begun")
    _backup(tmp_path, "a", days=3)

    said = _expire()

    assert "cut: no whole backup" in said
    assert "a: kept until" in said


def test_what_is_over_is_deleted_and_struck_out(tmp_path: Path) -> None:
    _backup(tmp_path, "late", days=-1)
    (tmp_path / ".late.partial").mkdir()
    _backup(tmp_path, "a", days=3)

    said = _expire()

    assert "late: deleted" in said
    assert "a: kept until" in said
    assert not (tmp_path / "late").exists()
    assert not (tmp_path / ".late.partial").exists()
    assert (tmp_path / "a" / "data").exists()
    assert [one.name for one in kept_backups()] == ["a"]


def test_one_whose_folder_is_not_there_is_not_taken_for_deleted(tmp_path: Path) -> None:
    _backup(tmp_path, "late", days=-1)
    (tmp_path / "late").rename(tmp_path / "elsewhere")

    with pytest.raises(CommandError, match="not deleted: late"):
        _expire()
    assert known_backups().expire_at is None

    _expire("--gone", "late")
    assert kept_backups() == []


def test_what_is_said_to_be_gone_and_is_there_stays_counted(tmp_path: Path) -> None:
    _backup(tmp_path, "a", days=3)

    with pytest.raises(CommandError, match="a is not gone"):
        _expire("--gone", "a")

    assert [one.name for one in kept_backups()] == ["a"]
    with pytest.raises(CommandError, match="no such backup"):
        _expire("--gone", "never")


def test_a_line_that_a_killed_writer_left_half_written_is_passed_over(
    folder: Path, tmp_path: Path
) -> None:
    _backup(tmp_path, "a", days=3)
    with (folder / registering.FILE).open("a") as file:
        file.write('{"name": "b"')
    _backup(tmp_path, "c", days=4)

    assert [one.name for one in kept_backups()] == ["a", "c"]


@pytest.mark.parametrize("days", [0, -1, 10**7])
def test_a_number_of_days_that_cannot_be_meant_is_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(CommandError, match="whole number from 1"):
        call_command("backup", f"--to={tmp_path}", f"--keep-days={days}")
    assert kept_backups() == []
