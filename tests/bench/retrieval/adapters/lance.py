"""LanceDB: prefilter through scalar indexes, with its quantised graph index or exact without one.

As its documentation has it: BTREE for a column of many values, BITMAP for few; IVF_HNSW_SQ where recall
matters, refined with the full vectors. "exact" searches the filtered rows without that index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import Bitmap, BTree, HnswSq

from tests.bench.retrieval.adapters import Built, Place, folder_size
from tests.bench.retrieval.workload import Asker, Floats, Workload, read

TABLE = "chunks"
BATCH = 10_000
REFINE = 5


def build(place: Place) -> Built:
    """Fill the table and make its scalar indexes: all that an exact search needs."""
    workload = read(place.workload)
    width = workload.vectors.shape[1]
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("tenant", pa.int32()),
            ("audience", pa.int32()),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )
    started = time.perf_counter()
    database = lancedb.connect(place.folder)
    table = database.create_table(TABLE, _batches(workload, schema), schema=schema)
    loaded = time.perf_counter()
    table.create_index("tenant", config=Bitmap())
    table.create_index("audience", config=BTree())
    table.optimize()
    indexed = time.perf_counter()
    return Built(loaded - started, indexed - loaded, {"vectors": folder_size(place.folder)})


def build_graph(place: Place) -> Built:
    """Add the vector index."""
    started = time.perf_counter()
    table = lancedb.connect(place.folder).open_table(TABLE)
    table.create_index("vector", config=HnswSq(distance_type="cosine"))
    seconds = time.perf_counter() - started
    return Built(index_s=seconds, disk={"vectors": folder_size(place.folder)})


def _batches(workload: Workload, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(workload), BATCH):
        rows = slice(start, min(start + BATCH, len(workload)))
        vectors = np.asarray(workload.vectors[rows], dtype=np.float32)
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(np.arange(rows.start, rows.stop)),
                pa.array(np.asarray(workload.tenants[rows], dtype=np.int32)),
                pa.array(np.asarray(workload.audiences[rows], dtype=np.int32)),
                pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            ],
            schema=schema,
        )


def open_searcher(place: Place, variant: str) -> LanceSearcher:
    """Return a client of "graph" or "exact"."""
    return LanceSearcher(place, exact=variant == "exact")


class LanceSearcher:
    """Asks with the asker's audiences in the filter."""

    def __init__(self, place: Place, *, exact: bool) -> None:
        self._table = lancedb.connect(place.folder).open_table(TABLE)
        self._exact = exact
        self._filters: dict[int, str] = {}

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Make the askers' filters."""
        for asker in askers:
            audiences = ",".join(str(a) for a in asker.audiences)
            self._filters[asker.number] = f"tenant = {asker.tenant} AND audience IN ({audiences})"

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Search among the rows that the filter leaves."""
        query = self._table.search(vector, vector_column_name="vector").distance_type("cosine")
        query = query.bypass_vector_index() if self._exact else query.refine_factor(REFINE)
        query = query.where(self._filters[asker.number], prefilter=True)
        found = query.limit(k).select(["id", "_distance"]).to_arrow()
        ids: list[int] = found["id"].to_pylist()
        return ids

    def parts(self) -> dict[str, float]:
        """Know no parts."""
        return {}
