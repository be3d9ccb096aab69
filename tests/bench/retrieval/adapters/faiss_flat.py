"""faiss IndexFlatIP with an IDSelector: in memory, no store, no permissions; the floor."""

from __future__ import annotations

import time
from collections.abc import Sequence

import faiss
import numpy as np

from tests.bench.retrieval.adapters import Built, Place
from tests.bench.retrieval.workload import Asker, Floats, read

FILE = "flat.faiss"


def build(place: Place) -> Built:
    """Write the index to a file; clients map it, so that they share its memory."""
    workload = read(place.workload)
    started = time.perf_counter()
    vectors = np.asarray(workload.vectors, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(place.folder / FILE))
    seconds = time.perf_counter() - started
    return Built(load_s=seconds, disk={"vectors": (place.folder / FILE).stat().st_size})


def open_searcher(place: Place, variant: str) -> FaissSearcher:
    """Return a client."""
    return FaissSearcher(place)


class FaissSearcher:
    """One thread; an array of the visible rows' numbers is the selector that was quickest."""

    def __init__(self, place: Place) -> None:
        faiss.omp_set_num_threads(1)
        self._workload = read(place.workload)
        self._index = faiss.read_index(str(place.folder / FILE), faiss.IO_FLAG_MMAP_IFC)
        self._chosen: dict[int, faiss.SearchParameters] = {}

    def prepare(self, askers: Sequence[Asker]) -> None:
        """Make the askers' selectors."""
        for asker in askers:
            selector = faiss.IDSelectorArray(self._workload.visible(asker))
            self._chosen[asker.number] = faiss.SearchParameters(sel=selector)

    def search(self, asker: Asker, vector: Floats, k: int) -> Sequence[int]:
        """Search exactly among the selected."""
        asked = vector[np.newaxis] / np.linalg.norm(vector)
        _, rows = self._index.search(asked, k, params=self._chosen[asker.number])
        return [int(row) for row in rows[0] if row >= 0]

    def parts(self) -> dict[str, float]:
        """Know no parts."""
        return {}
