"""Chroma: one persistent collection, `where` with $in over the audiences.

Audiences are numbered over all tenants, so that $in alone keeps tenants apart: a condition on the
tenant as well only costs it time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import chromadb
import numpy as np
from chromadb.config import Settings

from tests.bench.retrieval.adapters import Built, Place, folder_size
from tests.bench.retrieval.workload import Asker, Floats, read

COLLECTION = "chunks"
_SETTINGS = Settings(anonymized_telemetry=False)


def build(place: Place) -> Built:
    """Fill the collection in the largest batches it takes."""
    workload = read(place.workload)
    started = time.perf_counter()
    client = chromadb.PersistentClient(str(place.folder), settings=_SETTINGS)
    collection = client.create_collection(
        COLLECTION, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )
    batch = client.get_max_batch_size()
    for start in range(0, len(workload), batch):
        stop = min(start + batch, len(workload))
        collection.add(
            ids=[str(row) for row in range(start, stop)],
            embeddings=np.asarray(workload.vectors[start:stop], dtype=np.float32),
            metadatas=[{"audience": int(a)} for a in workload.audiences[start:stop]],
        )
    seconds = time.perf_counter() - started
    return Built(load_s=seconds, disk={"vectors": folder_size(place.folder)})


def open_searcher(place: Place, variant: str) -> ChromaSearcher:
    """Return a client."""
    return ChromaSearcher(place)


class ChromaSearcher:
    """Asks with the asker's audiences in the filter; the index is in the client's memory."""

    def __init__(self, place: Place) -> None:
        client = chromadb.PersistentClient(str(place.folder), settings=_SETTINGS)
        self._collection = client.get_collection(COLLECTION, embedding_function=None)

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Keep nothing per asker."""

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Search among the rows that the filter leaves."""
        found = self._collection.query(
            query_embeddings=[vector],
            n_results=k,
            where={"audience": {"$in": asker.audiences}},
            include=[],
        )
        return [int(id) for id in found["ids"][0]]

    def parts(self) -> dict[str, float]:
        """Know no parts."""
        return {}
