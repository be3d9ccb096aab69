"""What is read while it is sent comes whole, also where a piece is empty."""

from __future__ import annotations

import asyncio

import pytest

from ambit.files.streaming import _asynchronously


@pytest.mark.parametrize("pieces", [[], [b""], [b"a", b"", b"b"], [b"", b"", b"x"]])
def test_an_empty_piece_is_not_the_end(pieces: list[bytes]) -> None:
    async def read() -> list[bytes]:
        return [piece async for piece in _asynchronously(iter(pieces))]

    assert b"".join(asyncio.run(read())) == b"".join(pieces)
