"""A file is searched to its last byte, inside what is packed in it, and named where that fails."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.scan import lzf, pglz, redis
from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.patterns import Patterns
from ambit.scan.report import Finding, Report, Unread
from ambit.scan.search import Item, search_item
from ambit.scan.sources import BLOCK
from ambit.scan.stores import Store

NAME = "Anna Keller"
CANARY = Canary("anna", texts=(NAME,))
OTHER = Canary("bob", texts=("Bob Meier",))
PLAIN = b"..." + NAME.encode() + b"..."


def _scan(*folders: Path, jobs: int = 1) -> Report:
    stores = [Store(folder.name, folder) for folder in folders]
    report = scan([CANARY, OTHER], stores, database=None, jobs=jobs)
    # Without a database the search is never complete; the rest is what a test is about.
    assert report.unread.pop(0).store == "statistics"
    return report


def _reasons(report: Report) -> list[str]:
    return [each.reason for each in report.unread]


@pytest.mark.parametrize("at", [0, 1, BLOCK // 2, *range(BLOCK - 12, BLOCK + 2), 2 * BLOCK - 5])
def test_a_canary_across_two_blocks_is_found_once(tmp_path: Path, at: int) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(2 * BLOCK + 100)
        opened.seek(at)
        opened.write(NAME.encode())

    outcome = search_item(Item("x", (file,), 0), Patterns([CANARY]))

    (sighting,) = outcome.found.values()
    assert (sighting.count, sighting.at) == (1, at)
    assert outcome.n_read == 2 * BLOCK + 100


def _tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def _zip(data: bytes, name: str = "file") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


PACKINGS: list[Callable[[bytes], bytes]] = [
    gzip.compress,
    bz2.compress,
    lzma.compress,
    _tar,
    _zip,
    lambda data: gzip.compress(_tar(data)),
    lambda data: _zip(gzip.compress(data)),
    lambda data: _tar(_zip(data)),
    lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
]


@pytest.mark.parametrize("pack", PACKINGS)
def test_what_is_packed_is_searched_inside(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "file").write_bytes(pack(bytes(BLOCK - 8) + PLAIN))

    report = _scan(tmp_path)

    assert report.canaries_found == {"anna"}
    assert report.unread == []


@pytest.mark.parametrize("magic", [b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c"])
def test_what_cannot_be_opened_is_named(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "file").write_bytes(magic + os.urandom(100))

    report = _scan(tmp_path)

    assert report.exit_code == 2
    assert "not opened here" in _reasons(report)[0]


def test_what_cannot_be_opened_is_searched_as_it_stands_and_named_inside_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(b"\x28\xb5\x2f\xfd" + PLAIN))

    report = _scan(tmp_path)

    assert report.canaries_found == {"anna"}
    assert "zstd" in _reasons(report)[0]


def test_a_damaged_file_is_searched_as_far_as_it_goes_and_named(tmp_path: Path) -> None:
    whole = gzip.compress(PLAIN + os.urandom(BLOCK * 2))
    (tmp_path / "file").write_bytes(whole[: len(whole) - 1000])

    report = _scan(tmp_path)

    assert report.canaries_found == {"anna"}
    assert "damaged" in _reasons(report)[0]


def test_an_encrypted_archive_is_named(tmp_path: Path) -> None:
    data = bytearray(_zip(PLAIN))
    # The flag of encryption, in the header of the file and in the directory.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "file").write_bytes(data)

    assert "encrypted" in _reasons(_scan(tmp_path))[0]


def test_files_within_files_are_named_where_they_go_too_deep(tmp_path: Path) -> None:
    data = PLAIN
    for _ in range(9):
        data = gzip.compress(data)
    (tmp_path / "file").write_bytes(data)

    report = _scan(tmp_path)

    assert report.exit_code == 2
    assert "deeper" in _reasons(report)[0]


def test_a_bomb_is_given_up_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambit.scan.search.MAX_UNPACKED", 3 * BLOCK)
    (tmp_path / "file").write_bytes(gzip.compress(bytes(9 * BLOCK)))

    assert _reasons(_scan(tmp_path)) == ["unpacks to more than is searched"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails when read")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    # A file that opens, and whose first bytes are an error even for root.
    report = _scan(Path("/proc/self/mem"))

    assert report.exit_code == 2
    assert _reasons(report) == ["Input/output error"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    report = _scan(tmp_path / "none")

    assert report.exit_code == 2
    assert _reasons(report) == ["No such file or directory"]


def test_links_and_sockets_are_named_and_not_followed(tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    store.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(PLAIN)
    (store / "inside").write_bytes(b"nothing")
    (store / "to-inside").symlink_to(store / "inside")
    (store / "to-nothing").symlink_to(store / "nothing")
    (store / "to-outside").symlink_to(outside)
    os.mkfifo(store / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(store / "socket"))

        report = _scan(store)

    assert report.findings == []
    assert [Path(each.place).name for each in report.unread] == ["to-outside"]
    passed_over = {Path(each.place).name for each in report.passed_over}
    assert passed_over == {"to-inside", "to-nothing", "pipe", "socket"}


def test_a_tablespace_is_followed(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    (store / "pg_tblspc").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "16384").write_bytes(PLAIN)
    (store / "pg_tblspc" / "1").symlink_to(elsewhere)

    assert _scan(store).canaries_found == {"anna"}


def test_a_name_is_searched_and_never_said(tmp_path: Path) -> None:
    folder = tmp_path / f"letters of {NAME}"
    folder.mkdir()
    (folder / "file").write_bytes(b"nothing")
    (tmp_path / "archive.zip").write_bytes(_zip(b"nothing", name="Bob Meier.txt"))

    report = _scan(tmp_path)

    assert report.canaries_found == {"anna", "bob"}
    assert "name" in {finding.kind for finding in report.findings}
    assert f"{tmp_path}/…/file" in {finding.place for finding in report.findings}
    for said in ("\n".join(report.lines()), str(report.as_json())):
        assert NAME not in said
        assert "Bob Meier" not in said


def test_a_file_that_vanished_is_named_and_no_failure(tmp_path: Path) -> None:
    outcome = search_item(Item("x", (tmp_path / "gone",), 0), Patterns([CANARY]))

    assert outcome.vanished
    assert outcome.unread == []


def test_a_file_that_appears_while_others_are_searched_is_searched_too(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"nothing")

    def say(_: str) -> None:
        (tmp_path / "2").write_bytes(PLAIN)

    report = scan([CANARY], [Store("x", tmp_path)], database=None, say=say)

    assert report.canaries_found == {"anna"}
    assert report.stores["x"].n_files == 2


def test_several_processes_find_what_one_does(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}").write_bytes(bytes(number) + PLAIN * number)

    one, several = _scan(tmp_path), _scan(tmp_path, jobs=3)

    assert several.findings == one.findings
    assert several.stores == one.stores
    assert len(one.findings) == 6


def test_segments_of_a_relation_are_searched_in_their_order(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / (f"16384.{number}" if number else "16384")).write_bytes(bytes(8192) + PLAIN)

    report = _scan(tmp_path)

    assert [finding.count for finding in report.findings] == [12]
    assert report.findings[0].at == 8195


def test_the_exit_code_says_found_before_incomplete_before_clean() -> None:
    unread = [Unread("x", "file", "reason")]
    found = [Finding("anna", "x", "", "file", "", "utf-8", 0, 1)]

    assert Report(1, 1).exit_code == 0
    assert Report(1, 1, unread=unread).exit_code == 2
    assert Report(1, 1, unread=unread, findings=found).exit_code == 1
    assert "proves nothing" in list(Report(1, 1, unread=unread).lines())[-1]


@given(st.binary(max_size=300), st.integers(0, 400))
def test_unpacking_noise_ends_and_raises_nothing(noise: bytes, size: int) -> None:
    for unpack in (pglz.unpack, lzf.unpack):
        assert len(unpack(noise, size)) <= size
    list(redis.packed_in(noise))


def test_a_dump_of_its_own_format_is_searched_inside(tmp_path: Path) -> None:
    packed = zlib.compress(PLAIN + os.urandom(50_000))
    parts = [packed[at : at + 4096] for at in range(0, len(packed), 4096)]
    data = b"PGDMP\x01\x10\x00\x04\x08\x01\x01" + b"table of contents" + b"\x01\x00\x07\x00\x00\x00"
    data += b"".join(b"\x00" + len(p).to_bytes(4, "little") + p for p in parts) + b"\x00" * 5
    (tmp_path / "file").write_bytes(data)

    report = _scan(tmp_path)

    assert report.canaries_found == {"anna"}
    assert report.unread == []
