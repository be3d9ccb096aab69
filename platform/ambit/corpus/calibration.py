"""Measure on this machine what a scanned row costs, with vectors of nobody's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from ambit.corpus.graphs import OWNER

N_ROWS = 8_000
REPEATS = 15
# A scan this long is as quick as a first look along a graph. Under the policies, and by an index, a row costs
# twice what it does here.
QUICK_MS = 2.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A row's cost in microseconds, and the setting that follows."""

    scanned_us: float
    exact_rows: int


def calibrate() -> Calibration:
    """Time scans of a temporary table, which goes with the transaction; some seconds."""
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        _fill(cursor)
        scanned_us = 1000 * _least_ms(cursor) / N_ROWS
    return Calibration(scanned_us, max(1000, int(round(1000 * QUICK_MS / scanned_us, -3))))


_SCAN = """
SELECT (embedding <=> (SELECT embedding FROM calibration WHERE n = 1)) + 0 AS distance
FROM calibration ORDER BY distance LIMIT 50
"""
_TABLE = (
    "CREATE TEMP TABLE calibration (n int, embedding halfvec({width}) STORAGE PLAIN) ON COMMIT DROP"
)


def _fill(cursor: Any) -> None:
    width = settings.AMBIT_EMBED_DIMENSIONS
    cursor.execute(_TABLE.format(width=width))
    cursor.execute(
        "INSERT INTO calibration SELECT n, (SELECT array_agg(random_normal())"
        # A condition on n, so that each row draws numbers of its own.
        " FROM generate_series(1, %s) WHERE n > 0)::vector::halfvec FROM generate_series(1, %s) n",
        [width, N_ROWS],
    )
    cursor.execute("ANALYZE calibration")


def _least_ms(cursor: Any) -> float:
    """Return the least of several times: what else the machine did only adds to them."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        cursor.execute(_SCAN)
        cursor.fetchall()
        times.append(1000 * (time.perf_counter() - started))
    return min(times)
