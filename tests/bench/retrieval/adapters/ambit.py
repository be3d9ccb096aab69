"""Ambit by its production path: clearance, then search() under row-level security, as ambit_app.

Runs with Django set up on the benchmark's own data directory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.corpus.search import search
from tenants.scope import tenant_scope
from tests.bench.retrieval import load
from tests.bench.retrieval.adapters import Built, Place
from tests.bench.retrieval.workload import Asker, Floats

QUERY = "unused: the vector is given"


def build(place: Place) -> Built:
    """Migrate, and load the workload as the product would have stored it."""
    return load.fill(place)


def open_searcher(place: Place, variant: str) -> AmbitSearcher:
    """Return a client."""
    return AmbitSearcher(place)


class AmbitSearcher:
    """A process that answers searches, with one connection."""

    def __init__(self, place: Place) -> None:
        self._people = load.read_people(place)
        self._parts: dict[str, float] = {}
        self._vectors: dict[int, list[float]] = {}

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Keep nothing per asker: who may see what is asked each time."""

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Ask as a request does after its question is embedded."""
        who = self._people.askers[asker.number]
        tenant = self._people.tenants[asker.tenant]
        with tenant_scope(tenant, member_id=who):
            started = time.perf_counter()
            clearance = clearance_for(member_id=who)
            cleared = time.perf_counter()
            with statements() as spent:
                found = search(
                    clearance=clearance,
                    query=QUERY,
                    embedding=vector.tolist(),
                    k=k,
                    mode="vector",
                )
        self._parts = {"clearance": 1000 * (cleared - started), "statement": sum(spent)}
        return [load.row_of(passage.chunk_id) for passage in found]

    def parts(self) -> dict[str, float]:
        """Return what clearance took, and the statements of search() without opening its winners."""
        return self._parts


@contextmanager
def statements() -> Iterator[list[float]]:
    """Collect the milliseconds of each statement that reads a table, until the block ends."""
    spent: list[float] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, *rest)
        finally:
            if " FROM " in sql:
                spent.append(1000 * (time.perf_counter() - started))

    with connection.execute_wrapper(watch):
        yield spent
