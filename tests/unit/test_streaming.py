"""What is read while it is sent comes whole, also where a piece is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ambit.files.streaming import _asynchronously, begun


@pytest.mark.parametrize("pieces", [[], [b""], [b"a", b"", b"b"], [b"", b"", b"x"]])
def test_an_empty_piece_is_not_the_end(pieces: list[bytes]) -> None:
    async def read() -> list[bytes]:
        return [piece async for piece in _asynchronously(iter(pieces))]

    assert b"".join(asyncio.run(read())) == b"".join(pieces)


def test_what_was_begun_is_closed_where_its_reading_cannot_be_recorded() -> None:
    closed = []

    def content() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    pieces = content()
    with pytest.raises(RuntimeError), begun(pieces):
        raise RuntimeError

    assert closed == [True]
    with begun(content()) as whole:
        pass
    assert list(whole) == [b"a", b"b"]
