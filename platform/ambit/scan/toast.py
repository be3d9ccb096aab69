"""Put long values together again from their pieces, wherever TOAST, a hole or the log left these."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ambit.scan.pages import pieces_in, unpacked
from ambit.scan.sources import MAX_HELD

# Of a value only its last piece is shorter (TOAST_MAX_CHUNK_SIZE).
FULL_PIECE = 1996
MAX_VALUE = 256 << 20


ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Value:
    """A long value, unpacked where it was packed."""

    data: bytes
    at: int


class Pieces:
    """The pieces found in one relation or segment of the log; where they are, not what they hold."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows = array("Q")

    def add(self, value_id: int, number: int, at: int, size: int) -> None:
        """Take a piece: of which value, which of its pieces, and where it is."""
        self._rows.extend((value_id, number, at, size))

    def values(self, read_at: ReadAt) -> Iterator[Value]:
        """Yield each value that was packed or in several pieces; others were searched as they stand.

        Where a piece is there more than once, live and dead, each copy gets its turn.
        """
        for pieces in self._by_value():
            for chosen in _copies(pieces):
                joined = b"".join(read_at(at, size) for _, at, size in chosen)[:MAX_VALUE]
                if chosen[0][0] == 0 and (value := unpacked(joined)):
                    yield Value(value, chosen[0][1])
                if len(chosen) > 1:
                    yield Value(joined, chosen[0][1])

    def count_beheaded(self) -> int:
        """Return how many values lack their beginning, without which they cannot be unpacked."""
        return sum(
            pieces[0][0] != 0 and any(size == FULL_PIECE for _, _, size in pieces)
            for pieces in self._by_value()
        )

    def _by_value(self) -> Iterator[list[tuple[int, int, int]]]:
        rows = np.frombuffer(self._rows, dtype=np.uint64).reshape(-1, 4)
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        for _, group in groupby(rows.tolist(), key=lambda row: row[0]):
            yield [(number, at, size) for _, number, at, size in group]


class Held:
    """Pieces of what cannot be read a second time, kept in memory up to a limit."""

    def __init__(self) -> None:
        """Begin with none."""
        self._data = bytearray()
        self.is_full = False

    def take(self, data: bytes, pieces: Pieces, *, step: int) -> None:
        """Keep the pieces in these bytes and add them to the others."""
        for piece in pieces_in(data, step=step):
            if len(self._data) + piece.size > MAX_HELD:
                self.is_full = True
                return
            pieces.add(piece.value_id, piece.number, len(self._data), piece.size)
            self._data += data[piece.at : piece.at + piece.size]

    def read_at(self, at: int, size: int) -> bytes:
        """Return what was kept."""
        return bytes(self._data[at : at + size])


def _copies(pieces: list[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    by_number = [list(same) for _, same in groupby(pieces, key=lambda piece: piece[0])]
    for turn in range(max(map(len, by_number))):
        yield [same[min(turn, len(same) - 1)] for same in by_number]
