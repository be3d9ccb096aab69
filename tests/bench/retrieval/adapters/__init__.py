"""How each store is filled and asked; a module is loaded only in the process that needs its library.

Each has build(place), which fills the store and says how long it took, and open_searcher(place, variant).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.retrieval.workload import Asker, Floats


@dataclass(frozen=True)
class Place:
    """Where a store is, and the workload it is filled with."""

    workload: Path
    folder: Path
    # Superuser's URL of the store's Postgres, where it has one.
    url: str = ""

    def text(self) -> str:
        """Return the place as a command-line argument."""
        return json.dumps({name: str(value) for name, value in asdict(self).items()})


def parse_place(text: str) -> Place:
    """Return the place behind a command-line argument."""
    found = json.loads(text)
    return Place(Path(found["workload"]), Path(found["folder"]), found["url"])


@dataclass
class Built:
    """What filling a store cost; disk by what it holds, in bytes."""

    load_s: float = 0.0
    index_s: float = 0.0
    disk: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Searcher(Protocol):
    """A client of a store."""

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Make what is kept per asker, before anything is timed."""

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Return the numbers of the rows found, best first."""

    def parts(self) -> dict[str, float]:
        """Return milliseconds of the last search by part, where they can be told apart."""


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(
        os.lstat(os.path.join(path, name)).st_size
        for path, _, names in os.walk(folder)
        for name in names
    )
