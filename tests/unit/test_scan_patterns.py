"""What is searched for is found wherever it stands, as often as it stands, and nothing else."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from ambit.scan.canaries import Canary
from ambit.scan.patterns import MIN_BYTES, STRIDE, Patterns


def _patterns(*raw: bytes) -> Patterns:
    return Patterns([Canary(str(n), raw=(each,)) for n, each in enumerate(raw)])


def _found(patterns: Patterns, data: bytes) -> set[tuple[int, int, int]]:
    return {(who, hit.start, hit.end) for hit in patterns.find(data) for who, _ in hit.whose}


def test_a_pattern_is_found_at_every_place_of_a_block() -> None:
    for size in (6, 7, 9, 14, 15, 16, 40):
        wanted = bytes(range(65, 65 + size))
        patterns = _patterns(wanted)
        for at in [*range(70), *range(STRIDE - 50, STRIDE + 10)]:
            data = bytes(at) + wanted + b"\xff" * 3
            assert _found(patterns, data) == {(0, at, at + size)}, (size, at)


def test_patterns_that_overlap_or_begin_alike_are_all_found() -> None:
    texts = [
        b"Anna Keller",
        b"Keller GmbH & Co",
        b"Anna Keller GmbH",
        b"Anna Keller GmbH & Co KG, Ulm",
    ]

    found = _found(_patterns(*texts), b"..Anna Keller GmbH & Co KG, Ulm")

    assert {who for who, _, _ in found} == {0, 1, 2, 3}


def test_canaries_that_share_a_text_are_both_named() -> None:
    assert {
        who for who, _, _ in _found(_patterns(b"Anna Keller", b"Anna Keller"), b"Anna Keller")
    } == {0, 1}


def test_a_pattern_cut_off_at_the_end_is_not_found() -> None:
    assert _found(_patterns(b"Anna Keller", b"Anna Kel"), b"Anna Kelle") == {(1, 0, 8)}


def test_of_a_pattern_that_begins_with_zeros_the_telling_part_is_kept() -> None:
    wanted = bytes(30) + b"Anna Keller" + bytes(30)

    assert _found(_patterns(wanted), bytes(100) + b"Anna Keller" + bytes(100)) == {(0, 70, 141)}


def test_nothing_is_found_in_noise() -> None:
    patterns = _patterns(*(os.urandom(8) for _ in range(2000)))

    assert _found(patterns, os.urandom(1 << 20)) == set()


@given(
    st.lists(st.binary(min_size=MIN_BYTES, max_size=30), min_size=1, max_size=8, unique=True),
    st.lists(st.integers(0, 7) | st.binary(max_size=12), max_size=12),
)
def test_all_that_a_plain_search_finds_is_found_and_nothing_else(
    raw: list[bytes], parts: list[int | bytes]
) -> None:
    data = b"".join(raw[p % len(raw)] if isinstance(p, int) else p for p in parts)
    expected = {
        (n, at, at + len(each))
        for n, each in enumerate(raw)
        for at in range(len(data))
        if data.startswith(each, at)
    }

    assert _found(_patterns(*raw), data) == expected
