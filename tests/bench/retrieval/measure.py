"""Measure the lines of a store cell by cell, and judge what came back against the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.retrieval.adapters import Built
from tests.bench.retrieval.clients import Clients, Runner, StoreFailed
from tests.bench.retrieval.workload import TIE, Truth, Workload, similarities, truths

WARM_QUERIES, WARM_S = 40, 2.0


@dataclass(frozen=True)
class Line:
    """A row of the table: a way to ask a store; before names what is built first."""

    name: str
    variant: str = ""
    before: str = ""
    # Also in a quick run.
    quick: bool = True


@dataclass(frozen=True)
class Store:
    """A store, its lines in the order in which they are measured, and where its processes run."""

    adapter: str
    lines: tuple[Line, ...]
    peer: bool = True
    postgres: bool = False


@dataclass(frozen=True)
class Plan:
    """What is asked of each line."""

    ks: Sequence[int]
    clients: Sequence[int]
    seconds: float


@dataclass
class Cell:
    """One line, bucket, k and number of clients; milliseconds at the client."""

    line: str
    bucket: str
    set: str
    share: float
    visible: int
    k: int
    clients: int
    failed: str = ""
    n: int = 0
    p50: float = 0.0
    p95: float = 0.0
    per_second: float = 0.0
    recall: float = 0.0
    recall_min: float = 0.0
    rows: float = 0.0
    rows_expected: float = 0.0
    # Rows that the asker may not see.
    foreign: int = 0
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Filled:
    """What a line's store cost."""

    line: str
    built: Built
    failed: str = ""
    # MB by number of clients: what the server holds, what the clients hold.
    memory: dict[int, tuple[float, float]] = field(default_factory=dict)


class Judge:
    """The truth of each bucket, computed once for all stores."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._truths: dict[int, list[Truth]] = {}

    def n_visible(self, bucket: int, number: int) -> int:
        """Return how many rows the asker of a query sees."""
        return len(self._of(bucket)[number].visible)

    def _of(self, bucket: int) -> list[Truth]:
        if bucket not in self._truths:
            self._truths[bucket] = truths(self.workload, self.workload.buckets[bucket])
        return self._truths[bucket]

    def score(self, cell: Cell, bucket: int, *, number: int, rows: np.ndarray) -> tuple[float, int]:
        """Return recall of one query and how many rows it brought; count foreign rows in the cell."""
        truth = self._of(bucket)[number]
        found = np.unique(rows[rows >= 0])
        seen = np.isin(found, truth.visible)
        cell.foreign += int((~seen).sum())
        depth = min(cell.k, len(truth.best))
        right = similarities(self.workload, np.array([number]), found[seen])[0]
        right = right >= truth.best[depth - 1] - TIE
        return min(1.0, float(right.sum()) / depth), len(found)


def measure(
    store: Store, runner: Runner, judge: Judge, plan: Plan, *, say: Callable[[str], None]
) -> Iterator[Cell | Filled]:
    """Fill a store and yield what its lines cost and what they did; a failure is a result too."""
    built = Built()
    try:
        built = runner.build("build")
        say(f"filled in {built.load_s:.0f} + {built.index_s:.0f} s")
    except StoreFailed as error:
        say(f"failed: {error}")
        yield from (Filled(line.name, built, failed=str(error)) for line in store.lines)
        return
    for line in store.lines:
        try:
            if line.before:
                more = runner.build(line.before)
                built = Built(built.load_s, built.index_s + more.index_s, more.disk, built.notes)
            yield from _line(line, runner, judge, plan, Filled(line.name, built))
            say(f"{line.name} measured")
        except StoreFailed as error:
            say(f"{line.name} failed: {error}")
            yield Filled(line.name, built, failed=str(error))


def _line(
    line: Line, runner: Runner, judge: Judge, plan: Plan, filled: Filled
) -> Iterator[Cell | Filled]:
    for n in plan.clients:
        with runner.clients(line.variant, n) as clients:
            for bucket in range(len(judge.workload.buckets)):
                for k in plan.ks:
                    yield _cell(line, clients, judge, plan, bucket=bucket, k=k, n=n, runner=runner)
            filled.memory[n] = (runner.server.memory(), clients.memory())
    yield filled


def _cell(
    line: Line,
    clients: Clients,
    judge: Judge,
    plan: Plan,
    *,
    bucket: int,
    k: int,
    n: int,
    runner: Runner,
) -> Cell:
    asked = judge.workload.buckets[bucket]
    cell = Cell(line.name, asked.name, asked.set, asked.share, asked.n_visible, k, n)
    files = [runner.place.folder / f"client-{number}.npz" for number in range(n)]
    n_queries = len(judge.workload.queries)
    of_all: dict[str, Any] = {"bucket": bucket, "k": k}
    try:
        warm = of_all | {
            "do": "warm",
            "queries": min(WARM_QUERIES, n_queries),
            "seconds": min(WARM_S, plan.seconds),
        }
        clients.ask([warm] * n)
        answers = clients.ask(
            [
                of_all
                | {
                    "do": "run",
                    "seconds": plan.seconds,
                    # Each begins elsewhere, or all would ask the same at the same time.
                    "start": number * n_queries // n,
                    "into": str(file),
                }
                for number, file in enumerate(files)
            ]
        )
    except StoreFailed as error:
        cell.failed = str(error)
        return cell
    cell.per_second = sum(answer["n"] / answer["seconds"] for answer in answers)
    _judge(cell, judge, bucket, files, n_queries)
    return cell


def _judge(cell: Cell, judge: Judge, bucket: int, files: list[Path], n_queries: int) -> None:
    milliseconds: list[float] = []
    parts: dict[str, list[float]] = {}
    rows_of: dict[int, np.ndarray] = {}
    for client, file in enumerate(files):
        with np.load(file) as found:
            milliseconds += found["milliseconds"].tolist()
            for name in set(found.files) - {"rows", "milliseconds"}:
                parts.setdefault(name, []).extend(found[name].tolist())
            start, asked = client * n_queries // len(files), len(found["milliseconds"])
            rows = found["rows"]
            for turn in range(min(asked, n_queries)):
                number = (start + turn) % n_queries
                rows_of.setdefault(number, rows[number])
        file.unlink()
    scored = [
        judge.score(cell, bucket, number=number, rows=rows) for number, rows in rows_of.items()
    ]
    recalls, counts = zip(*scored, strict=True)
    visible = [judge.n_visible(bucket, number) for number in rows_of]
    cell.n = len(milliseconds)
    cell.p50, cell.p95 = (float(v) for v in np.quantile(milliseconds, [0.5, 0.95]))
    cell.recall, cell.recall_min = float(np.mean(recalls)), float(np.min(recalls))
    cell.rows = float(np.mean(counts))
    cell.rows_expected = float(np.mean([min(cell.k, v) for v in visible]))
    cell.parts = {name: float(np.median(values)) for name, values in parts.items()}


def as_json(found: Cell | Filled) -> dict[str, Any]:
    """Return a result for the JSON file."""
    return asdict(found)


def now() -> str:
    """Return the time of day, for lines that say how far a run is."""
    return time.strftime("%H:%M:%S")
