"""Frozen values handed from step to step of an erasure."""

from __future__ import annotations

from dataclasses import dataclass

from ambit.erasure.position import Position
from ambit.erasure.types import Remaining


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the second look found."""

    left: tuple[Remaining, ...]
    # How many of the documents a search or a look-up still brings up, for any reader.
    n_retrievable: int
    # Where the database stood once every holding had been asked.
    position: Position

    @property
    def complete(self) -> bool:
        """Say whether every holding answered, and answered that nothing is left."""
        return self.n_retrievable == 0 and all(one.n == 0 for one in self.left)
