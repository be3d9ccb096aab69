"""pgvector: a plain table of its own with one HNSW index over all tenants, the filter after it.

"filter-EF": the index's first ef_search rows, filtered. "iterative-EF": it goes on in relaxed order until
k rows pass. "planner": a btree on the filter's columns beside it, and whatever the planner chooses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from tests.bench.retrieval.adapters import Built, Place
from tests.bench.retrieval.workload import Asker, Floats, read

_TABLE = "CREATE TABLE chunks (id int8, tenant int4, audience int4, embedding halfvec(384))"
# What pgvector's README advises for building; the server's shared_buffers are the benchmark's.
_BUILD = (
    "SET maintenance_work_mem = '2GB'",
    "SET max_parallel_maintenance_workers = 2",
    "CREATE INDEX chunks_hnsw ON chunks USING hnsw (embedding halfvec_cosine_ops)"
    " WITH (m = 16, ef_construction = 64)",
)
_FILTERED = """
SELECT id FROM chunks WHERE tenant = %(tenant)s AND audience = ANY (%(audiences)s)
ORDER BY embedding <=> %(vector)s LIMIT %(k)s
"""
# The README's own form for relaxed order on Postgres 17 and later: sorted again, exactly.
_RELAXED = """
WITH relaxed AS MATERIALIZED (
    SELECT id, embedding <=> %(vector)s AS distance FROM chunks
    WHERE tenant = %(tenant)s AND audience = ANY (%(audiences)s)
    ORDER BY distance LIMIT %(k)s
) SELECT id FROM relaxed ORDER BY distance + 0
"""


def build(place: Place) -> Built:
    """Load the table and build the HNSW index."""
    workload = read(place.workload)
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        connection.execute(_TABLE)
        started = time.perf_counter()
        copy = "COPY chunks FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(copy) as rows:
            rows.set_types(["int8", "int4", "int4", "halfvec"])
            for row in range(len(workload)):
                rows.write_row(
                    (
                        row,
                        int(workload.tenants[row]),
                        int(workload.audiences[row]),
                        HalfVector(workload.vectors[row]),
                    )
                )
        loaded = time.perf_counter()
        for statement in _BUILD:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE chunks")
        indexed = time.perf_counter()
        return Built(loaded - started, indexed - loaded, _disk(connection))


def add_btree(place: Place) -> Built:
    """Add the index on the filter's columns that its documentation advises to start with."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        started = time.perf_counter()
        connection.execute("CREATE INDEX chunks_filter ON chunks (tenant, audience)")
        connection.execute("VACUUM ANALYZE chunks")
        return Built(index_s=time.perf_counter() - started, disk=_disk(connection))


def _disk(connection: psycopg.Connection) -> dict[str, int]:
    row = connection.execute("SELECT pg_total_relation_size('chunks')").fetchone()
    assert row is not None
    return {"vectors": int(row[0])}


def open_searcher(place: Place, variant: str) -> PgvectorSearcher:
    """Return a client of a variant."""
    return PgvectorSearcher(place, *variant.partition("-")[::2])


class PgvectorSearcher:
    """One connection, its settings and prepared statement."""

    def __init__(self, place: Place, mode: str, ef_search: str) -> None:
        self._connection = psycopg.connect(place.url, autocommit=True)
        register_vector(self._connection)
        self._statement = _FILTERED if mode == "filter" else _RELAXED
        chosen = {"hnsw.ef_search": ef_search or "100"}
        if mode != "filter":
            chosen["hnsw.iterative_scan"] = "relaxed_order"
        if mode == "planner":
            # A plan made once for any audiences would not know how many rows they have.
            chosen["plan_cache_mode"] = "force_custom_plan"
        else:
            chosen["enable_seqscan"] = "off"
        for name, value in chosen.items():
            self._connection.execute("SELECT set_config(%s, %s, false)", [name, value])

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Keep nothing per asker."""

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Run the statement."""
        values = {
            "tenant": asker.tenant,
            "audiences": asker.audiences,
            "vector": HalfVector(np.asarray(vector)),
            "k": k,
        }
        return [row[0] for row in self._connection.execute(self._statement, values)]

    def parts(self) -> dict[str, float]:
        """Know no parts."""
        return {}
