"""Measure on this machine what a scanned row and a visited one cost, with vectors of nobody's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from ambit.corpus.graphs import OWNER

N_ROWS = 8_000
REPEATS = 15
# The walk is timed at two lengths, so that what starting it costs falls out.
SHORT, LONG = 100, 400
# A scan this long is quick enough that nothing approximate is worth its while.
QUICK_MS = 5.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Costs in microseconds, and the settings that follow."""

    scanned_us: float
    visited_us: float
    exact_rows: int
    graph_cost_ratio: int


def calibrate() -> Calibration:
    """Time scans and walks over a temporary table, which goes with the transaction; some seconds."""
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        _fill(cursor)
        scanned_us = 1000 * _least_ms(cursor, _SCAN) / N_ROWS
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
        short_ms, long_ms = (_walk_ms(cursor, n) for n in (SHORT, LONG))
    visited_us = max(1000 * (long_ms - short_ms) / (LONG - SHORT), scanned_us)
    return Calibration(
        scanned_us=scanned_us,
        visited_us=visited_us,
        exact_rows=max(1000, int(round(1000 * QUICK_MS / scanned_us, -3))),
        graph_cost_ratio=max(1, round(visited_us / scanned_us)),
    )


_SCAN = "SELECT (embedding <=> {q}) + 0 AS distance FROM calibration ORDER BY distance LIMIT 50"
_TABLE = (
    "CREATE TEMP TABLE calibration (n int, embedding halfvec({width}) STORAGE PLAIN) ON COMMIT DROP"
)
_WALK = "SELECT embedding <=> {q} FROM calibration ORDER BY embedding <=> {q} LIMIT {n}"


def _fill(cursor: Any) -> None:
    width = settings.AMBIT_EMBED_DIMENSIONS
    cursor.execute(_TABLE.format(width=width))
    cursor.execute(
        "INSERT INTO calibration SELECT n, (SELECT array_agg(random_normal())"
        # A condition on n, so that each row draws numbers of its own.
        " FROM generate_series(1, %s) WHERE n > 0)::vector::halfvec FROM generate_series(1, %s) n",
        [width, N_ROWS],
    )
    cursor.execute("CREATE INDEX ON calibration USING hnsw (embedding halfvec_cosine_ops)")
    cursor.execute("ANALYZE calibration")


def _walk_ms(cursor: Any, n: int) -> float:
    cursor.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(n)])
    return _least_ms(cursor, _WALK, n=n)


def _least_ms(cursor: Any, statement: str, **values: Any) -> float:
    """Return the least of several times: what else the machine did only adds to them."""
    query = "(SELECT embedding FROM calibration WHERE n = 1)"
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        cursor.execute(statement.format(q=query, **values))
        cursor.fetchall()
        times.append(1000 * (time.perf_counter() - started))
    return min(times)
