"""The workload: whose chunk each vector is, which audience may read it, who asks what, and the truth.

200 tenants. Two hold about 17 % each, alike but for how their audiences were dealt: at random, or by
topic. The others follow Zipf's law. Rows are numbered in the order (tenant, audience) of every store.
Runs with numpy alone: the peers' processes read it too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20261121
N_TENANTS = 200
BIG_SHARE = 0.17
# The tenants whose members ask: audiences independent of topic, and correlated with it.
INDEPENDENT, CORRELATED = 0, 1
SETS = {"independent": INDEPENDENT, "correlated": CORRELATED}
SHARES = (0.0005, 0.002, 0.01, 0.05, 0.2, 0.5, 1.0)
ASKERS_PER_BUCKET = 4
MAX_AUDIENCES = 400
MEAN_CHUNKS_PER_DOCUMENT = 10
MAX_K = 50
# Two rows closer than this are equally good: stores add up in different orders and precisions.
TIE = 1e-5

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Asker:
    """A member of a big tenant, and the audiences that its groups read."""

    number: int
    tenant: int
    audiences: list[int]
    n_visible: int


@dataclass(frozen=True)
class Bucket:
    """Askers who see about the same share of their tenant."""

    set: str
    share: float
    askers: list[Asker]

    @property
    def name(self) -> str:
        """Return the bucket's name in tables."""
        return f"{self.set} {100 * self.share:g} %"

    @property
    def n_visible(self) -> int:
        """Return how many rows an asker sees, on average."""
        return round(sum(a.n_visible for a in self.askers) / len(self.askers))


@dataclass(frozen=True)
class Workload:
    """Everything that a store is filled with and asked; audiences are numbered over all tenants."""

    vectors: Halves
    queries: Floats
    tenants: Ints
    audiences: Ints
    documents: Ints
    buckets: list[Bucket]

    def __len__(self) -> int:
        return len(self.vectors)

    def visible(self, asker: Asker) -> Ints:
        """Return the numbers of the rows an asker may see, ascending."""
        ends = [np.searchsorted(self.audiences, asker.audiences, side=s) for s in ("left", "right")]
        pieces = [np.arange(a, b) for a, b in zip(*ends, strict=True)]
        return np.concatenate(pieces).astype(np.int64)

    def write(self, folder: Path) -> None:
        """Keep the workload in a folder for other processes."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "buckets.json").write_text(json.dumps([asdict(b) for b in self.buckets]))


_ARRAYS = ("vectors", "queries", "tenants", "audiences", "documents")


def read(folder: Path) -> Workload:
    """Return the workload of a folder; its arrays stay on disk until they are looked at."""
    arrays: dict[str, Any] = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in _ARRAYS}
    buckets = [
        Bucket(b["set"], b["share"], [Asker(**a) for a in b["askers"]])
        for b in json.loads((folder / "buckets.json").read_text())
    ]
    return Workload(**arrays, buckets=buckets)


def build(
    vectors: Halves, queries: Floats, *, sets: list[str], shares: list[float], seed: int = SEED
) -> Workload:
    """Deal the vectors to tenants, documents and audiences, and choose who asks."""
    random = np.random.default_rng(seed)
    sizes = _tenant_sizes(len(vectors))
    tenants = np.repeat(np.arange(N_TENANTS), sizes)
    order = random.permutation(len(vectors))
    audiences = np.empty(len(vectors), dtype=np.int64)
    documents = np.empty(len(vectors), dtype=np.int64)
    n_audiences = n_documents = 0
    for tenant, (start, size) in enumerate(zip(np.cumsum(sizes) - sizes, sizes, strict=True)):
        rows = slice(start, start + size)
        if tenant == CORRELATED:
            order[rows] = order[rows][_by_topic(vectors[order[rows]], random)]
        document = _documents(size, random)
        audience = _audiences(document, in_order=tenant == CORRELATED, random=random)
        inside = np.lexsort((document, audience))
        order[rows] = order[rows][inside]
        audiences[rows] = audience[inside] + n_audiences
        documents[rows] = document[inside] + n_documents
        n_audiences += int(audience.max()) + 1
        n_documents += int(document.max()) + 1
    buckets = _buckets(tenants, audiences, sets=sets, shares=shares, random=random)
    return Workload(vectors[order], queries, tenants, audiences, documents, buckets)


def _tenant_sizes(n: int) -> Ints:
    big = round(n * BIG_SHARE)
    weights = 1 / np.arange(3, N_TENANTS + 1)
    rest = np.maximum(1, np.floor((n - 2 * big) * weights / weights.sum())).astype(np.int64)
    rest[0] += n - 2 * big - rest.sum()
    return np.concatenate([[big, big], rest]).astype(np.int64)


def _documents(n_chunks: int, random: np.random.Generator) -> Ints:
    lengths = random.geometric(1 / MEAN_CHUNKS_PER_DOCUMENT, size=n_chunks)
    return np.repeat(np.arange(n_chunks), lengths)[:n_chunks].astype(np.int64)


def _audiences(document: Ints, *, in_order: bool, random: np.random.Generator) -> Ints:
    """Give each document an audience: drawn, or consecutive runs, of unequal sizes either way."""
    n_documents = int(document.max()) + 1
    n_audiences = int(np.clip(n_documents // 4, 1, MAX_AUDIENCES))
    weights = random.lognormal(0, 1, n_audiences)
    weights /= weights.sum()
    # Each has one at least; who gets the others is left to the weights.
    extra = random.multinomial(n_documents - n_audiences, weights)
    of_document = np.repeat(np.arange(n_audiences), 1 + extra)
    if not in_order:
        random.shuffle(of_document)
    return of_document[document]


def _by_topic(vectors: Halves, random: np.random.Generator) -> Ints:
    """Return an order in which similar vectors are near each other: clusters along a chain."""
    points = vectors.astype(np.float32)
    centers = clusters(points, max(2, min(200, len(points) // 50)), random)
    place = {center: n for n, center in enumerate(_chain(centers))}
    topic = np.array([place[c] for c in (points @ centers.T).argmax(axis=1)])
    return np.argsort(topic, kind="stable")


def clusters(points: Floats, n: int, random: np.random.Generator, *, rounds: int = 8) -> Floats:
    """Return centers of length one by k-means on a sample."""
    sample = points[random.permutation(len(points))[:20_000]]
    centers = sample[:n].copy()
    for _ in range(rounds):
        nearest = (sample @ centers.T).argmax(axis=1)
        for number in np.unique(nearest):
            centers[number] = sample[nearest == number].mean(axis=0)
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    return centers


def _chain(centers: Floats) -> list[int]:
    left, chain = set(range(1, len(centers))), [0]
    while left:
        remaining = list(left)
        nearest = remaining[int((centers[remaining] @ centers[chain[-1]]).argmax())]
        chain.append(nearest)
        left.remove(nearest)
    return chain


def _buckets(
    tenants: Ints,
    audiences: Ints,
    *,
    sets: list[str],
    shares: list[float],
    random: np.random.Generator,
) -> list[Bucket]:
    found: list[Bucket] = []
    number = 0
    for name in sets:
        tenant = SETS[name]
        numbers, sizes = np.unique(audiences[tenants == tenant], return_counts=True)
        for share in shares:
            if share == 1.0 and any(b.share == share for b in found):
                # Who sees everything sees the same number of rows in either tenant.
                continue
            askers = []
            for _ in range(1 if share == 1.0 else ASKERS_PER_BUCKET):
                choose = _drawn if tenant == INDEPENDENT else _run
                chosen = choose(sizes, share * sizes.sum(), random)
                askers.append(
                    Asker(
                        number, tenant, sorted(numbers[chosen].tolist()), int(sizes[chosen].sum())
                    )
                )
                number += 1
            found.append(Bucket(name, share, askers))
    return found


def _drawn(sizes: Ints, target: float, random: np.random.Generator) -> Ints:
    """Return audiences in random order, as long as together they stay about within the target."""
    chosen: list[int] = []
    total = 0
    for audience in random.permutation(len(sizes)):
        if total + sizes[audience] <= 1.05 * target:
            chosen.append(int(audience))
            total += sizes[audience]
    return np.array(chosen or [int(sizes.argmin())])


def _run(sizes: Ints, target: float, random: np.random.Generator) -> Ints:
    """Return neighbouring audiences, hence neighbouring topics, that together meet the target best."""
    ends = np.concatenate([[0], np.cumsum(sizes)])
    starts = np.arange(len(sizes))
    stops = np.maximum(np.searchsorted(ends, ends[:-1] + target), starts + 1)
    stops = np.minimum(stops, len(sizes))
    error = np.abs(ends[stops] - ends[starts] - target)
    best = np.argsort(error, kind="stable")[: 4 * ASKERS_PER_BUCKET]
    start = int(random.choice(best))
    return np.arange(start, stops[start])


@dataclass(frozen=True)
class Truth:
    """What an exact search over exactly the visible rows finds, for one pair of asker and query."""

    visible: Ints
    # Similarity of the best rows, best first; at most MAX_K.
    best: Floats


def pair(bucket: Bucket, number: int) -> Asker:
    """Return who asks query number so-and-so: askers take turns."""
    return bucket.askers[number % len(bucket.askers)]


def truths(workload: Workload, bucket: Bucket) -> list[Truth]:
    """Return the truth of each query of a bucket."""
    found: list[Truth | None] = [None] * len(workload.queries)
    for turn, asker in enumerate(bucket.askers):
        visible = workload.visible(asker)
        numbers = np.arange(turn, len(found), len(bucket.askers))
        scores = similarities(workload, numbers, visible)
        depth = min(MAX_K, len(visible))
        best = -np.sort(np.partition(-scores, depth - 1, axis=1)[:, :depth], axis=1)
        for number, row in zip(numbers, best, strict=True):
            found[number] = Truth(visible, row)
    return [truth for truth in found if truth is not None]


def similarities(workload: Workload, queries: Ints, rows: Ints) -> Floats:
    """Return the cosine of each of these queries with each of these rows."""
    points = np.asarray(workload.vectors[rows], dtype=np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    asked = np.asarray(workload.queries[queries], dtype=np.float32)
    asked = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    found: Floats = asked @ points.T
    return found
