"""Packed values, cut up values and the log are read as Postgres writes them; more: tests/database/test_scan.py."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import lz4.block
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.scan import lz4 as lz4_blocks
from ambit.scan import wal
from ambit.scan.canaries import Canary
from ambit.scan.pages import PAGE, kind_of_page, packed_in, pieces_in
from ambit.scan.patterns import Patterns
from ambit.scan.search import Item, Outcome, search_item
from ambit.scan.toast import Pieces

NAME = b"Anna Keller"
# LZ4 writes both names by reference to where they stood before.
STORY = (
    b"Anna K. met Mr Keller; "
    + b"the patient came with a cough, and so on and so on; " * 40
    + NAME
    + b" and so on" * 30
)
LZ4 = 1


def _page(*tuples: bytes, special: int = 0, hole: bytes = b"") -> bytes:
    """Return a page of Postgres': tuples from its end, and what is left in the hole before them."""
    page = bytearray(PAGE)
    end = PAGE - special
    for each in tuples:
        end = (end - len(each)) & ~7
        page[end : end + len(each)] = each
    page[end - len(hole) : end] = hole
    struct.pack_into("<HHHH", page, 12, 24 + 4 * len(tuples), end, PAGE - special, PAGE | 4)
    return bytes(page)


def _inline(packed: bytes, size: int, method: int) -> bytes:
    return struct.pack("<II", (len(packed) + 8) << 2 | 2, size | method << 30) + packed


def _piece(value_id: int, number: int, data: bytes) -> bytes:
    head = bytes(18) + struct.pack("<HHBx", 3, 0x0902, 24)
    return head + struct.pack("<III", value_id, number, (len(data) + 4) << 2) + data


def _lz4(data: bytes) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    return packed


def _search(tmp_path: Path, data: bytes) -> Outcome:
    file = tmp_path / "16384"
    file.write_bytes(data)
    return search_item(Item("x", (file,), 0), Patterns([Canary("a", texts=(NAME.decode(),))]))


@given(st.text(max_size=2000).map(str.encode) | st.binary(max_size=2000), st.integers(1, 9))
def test_lz4_is_unpacked_as_the_library_packs_it(data: bytes, times: int) -> None:
    data *= times

    assert lz4_blocks.unpack(_lz4(data), len(data)) == data


def test_runs_of_every_length_are_unpacked() -> None:
    noise = np.random.default_rng(3).bytes(900)
    for length in range(900):
        data = noise[:length] + b"x" * length + noise[:length]
        assert lz4_blocks.unpack(_lz4(data), len(data)) == data


@given(st.binary(max_size=300), st.integers(0, 400))
def test_unpacking_noise_as_lz4_ends_and_raises_nothing(noise: bytes, size: int) -> None:
    assert len(lz4_blocks.unpack(noise, size)) <= size


def test_what_is_cut_off_is_unpacked_as_far_as_it_goes() -> None:
    whole = lz4_blocks.unpack(_lz4(STORY), len(STORY))

    for end in range(40, len(_lz4(STORY)), 7):
        part = lz4_blocks.unpack(_lz4(STORY)[:end], len(STORY))
        assert part
        assert whole.startswith(part)


@pytest.mark.parametrize("in_hole", [False, True])
def test_a_value_packed_with_lz4_is_found_in_a_tuple_and_in_a_hole(
    tmp_path: Path, *, in_hole: bool
) -> None:
    value = bytes(24) + _inline(_lz4(STORY), len(STORY), LZ4)
    value += bytes(-len(value) % 8)
    page = _page(b"x" * 64, hole=value) if in_hole else _page(value)

    outcome = _search(tmp_path, _page(b"y" * 100) + page)

    assert NAME not in page
    assert [kind for _, kind, _ in outcome.found] == ["table"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_value_in_pieces_is_put_together_from_pages_out_of_order(
    tmp_path: Path, *, packed: bool
) -> None:
    noise = np.random.default_rng(1).bytes(6000)
    data = noise + NAME + noise
    if packed:
        data = struct.pack("<I", len(STORY + noise) | LZ4 << 30) + _lz4(STORY + noise)
        assert NAME not in data
        cuts = list(range(0, len(data), 1996))
    else:
        # The name itself is cut.
        cuts = list(range((6000 + 5) % 1996, len(data), 1996))
        cuts = [0, *cuts]
    parts = [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)]
    tuples = [_piece(77, number, part) for number, part in enumerate(parts)]
    random.Random(1).shuffle(tuples)
    pages = [_page(*tuples[at : at + 3]) for at in range(0, len(tuples), 3)]

    outcome = _search(tmp_path, b"".join(pages))

    assert [kind for _, kind, _ in outcome.found] == ["toast"]
    assert outcome.n_beheaded == 0


def test_of_pieces_left_twice_each_gets_its_turn() -> None:
    pieces = Pieces()
    held = b"old1old2new1new2"
    for number, at in ((0, 0), (1, 4), (0, 8), (1, 12)):
        pieces.add(5, number, at, 4)

    values = {value.data for value in pieces.values(lambda at, size: held[at : at + size])}

    assert values == {b"old1old2", b"new1new2"}


def test_a_value_without_its_beginning_is_counted(tmp_path: Path) -> None:
    outcome = _search(tmp_path, _page(_piece(77, 1, bytes(1996)), _piece(77, 2, b"end" * 9)))

    assert outcome.n_beheaded == 1


def test_a_page_says_what_it_belongs_to() -> None:
    gin, brin, btree = bytearray(_page(special=8)), bytearray(_page(special=8)), _page(special=16)
    brin[-2:] = (0xF091).to_bytes(2, "little")

    assert kind_of_page(_page(b"x" * 50)) == "table"
    assert kind_of_page(_page(_piece(5, 0, b"x" * 50))) == "toast"
    assert [kind_of_page(bytes(page)) for page in (gin, brin, btree)] == ["gin", "brin", "btree"]
    assert kind_of_page(bytes(PAGE)) == ""
    assert kind_of_page(b"short") == ""


@given(st.binary(max_size=400))
def test_noise_is_never_taken_for_more_than_it_is(noise: bytes) -> None:
    assert all(len(value) <= 300 * len(noise) for _, value in packed_in(noise, step=1))
    assert all(piece.at + piece.size <= len(noise) for piece in pieces_in(noise, step=1))


def _log_page(address: int, data: bytes, remaining: int = 0) -> bytes:
    return (struct.pack("<HHIQI4x", 0xD118, 0, 1, address, remaining) + data).ljust(PAGE, b"\0")


def test_a_name_across_two_pages_of_the_log_is_found(tmp_path: Path) -> None:
    room = PAGE - 24
    for cut in range(1, len(NAME)):
        first = _log_page(PAGE, b"." * (room - cut) + NAME[:cut])
        outcome = _search(tmp_path, first + _log_page(2 * PAGE, NAME[cut:] + b"..", remaining=20))

        assert [kind for _, kind, _ in outcome.found] == ["wal"]


def _record_with_image(image: bytes, flags: int, main: bytes) -> bytes:
    block = struct.pack("<BBHHHB", 0, 0x10, 0, len(image), 0, flags) + bytes(16)
    body = block + struct.pack("<BB", 255, len(main)) + image + main
    head = struct.pack("<IIQBBxxI", 24 + len(body), 1, 0, 0, 10, 0)
    return head + body + bytes(-len(body) % 8)


@pytest.mark.parametrize("main", [b"", b"x", b"xyz"])
def test_a_page_image_packed_in_the_log_is_found_behind_any_records(
    tmp_path: Path, main: bytes
) -> None:
    noise = np.random.default_rng(2).bytes(2500)
    page = (STORY + noise).ljust(PAGE, b"\0")
    packed = _lz4(page)
    assert NAME not in packed
    plain = (
        struct.pack("<IIQBBxxI", 24 + 42, 1, 0, 0, 10, 0) + struct.pack("<BB", 255, 40) + bytes(46)
    )
    records = plain * 100 + _record_with_image(packed, 0x02 | 0x08, main) + plain
    room = PAGE - 24
    pages = b"".join(
        _log_page(PAGE * (1 + n), records[at : at + room], remaining=_remaining(records, at, plain))
        for n, at in enumerate(range(0, len(records), room))
    )

    outcome = _search(tmp_path, pages)

    assert [kind for _, kind, _ in outcome.found] == ["wal"]


def _remaining(records: bytes, at: int, plain: bytes) -> int:
    """Return how much of a record that began before is left at a place."""
    begin = 0
    while begin < at:
        (size,) = struct.unpack_from("<I", records, begin)
        end = begin + ((size + 7) & ~7)
        if end > at:
            return begin + size - at if begin < at else 0
        begin = end
    return 0


def test_an_image_packed_with_zstd_is_named(tmp_path: Path) -> None:
    outcome = _search(tmp_path, _log_page(PAGE, _record_with_image(b"z" * 100, 0x02 | 0x10, b"")))

    assert any("zstd" in reason for reason in outcome.unread)


@given(st.binary(max_size=2000))
def test_noise_in_the_log_ends_and_raises_nothing(noise: bytes) -> None:
    list(wal.images_in(wal.strip(_log_page(PAGE, noise) + _log_page(2 * PAGE, noise[::-1], 8))))
