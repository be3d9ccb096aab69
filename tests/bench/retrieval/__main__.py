"""Retrieval under permissions, beside what people use today: `make bench-retrieval`.

One store after another, each filled with the same rows and asked the same queries by processes of the
same kind. Prints tables with ratios; writes results.json and results.png. Asserts nothing: read the
ratios, and the milliseconds only of a machine that did nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.bench.retrieval import environment, report
from tests.bench.retrieval.adapters import Place
from tests.bench.retrieval.clients import Runner, StoreFailed
from tests.bench.retrieval.measure import (
    Cell,
    Filled,
    Judge,
    Line,
    Plan,
    Store,
    as_json,
    measure,
    now,
)
from tests.bench.retrieval.servers import Server, postgres
from tests.bench.retrieval.vectors import cache_dir, is_cached, pool
from tests.bench.retrieval.workload import MAX_K, SEED, SETS, SHARES, Workload, build

OURS = Store("ambit", (Line(report.OURS),), peer=False, postgres=True)
PEERS = {
    "pgvector": Store(
        "pgvector_table",
        (
            Line("pgvector filter 40", "filter-40"),
            Line("pgvector filter 100", "filter-100", quick=False),
            Line("pgvector iterative 40", "iterative-40", quick=False),
            Line("pgvector iterative 100", "iterative-100"),
            Line(report.PLANNER, "planner", before="add_btree"),
        ),
        peer=False,
        postgres=True,
    ),
    "lancedb": Store(
        "lance",
        (
            Line("lancedb exact", "exact"),
            Line("lancedb graph", "graph", before="build_graph", quick=False),
        ),
    ),
    "chroma": Store("chroma", (Line("chroma"),)),
    "faiss": Store("faiss_flat", (Line(report.FLOOR),)),
}
QUICK_CHUNKS, QUICK_SHARES, QUICK_PEERS = 20_000, [0.01, 0.2, 1.0], ["pgvector", "lancedb", "faiss"]


@dataclass
class Results:
    """What was found so far, and the folder it is written to."""

    out: Path
    about: dict[str, Any]
    cells: list[Cell] = field(default_factory=list)
    filled: list[Filled] = field(default_factory=list)
    tax: dict[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        """Write all of it as JSON and return the file."""
        found = self.about | {
            "cells": [as_json(c) | {"ratio": report.ratio_to(c, self.cells)} for c in self.cells],
            "stores": [as_json(f) for f in self.filled],
            "tax": self.tax,
            "verdicts": report.verdicts(self.cells, self.tax),
            "load_after": os.getloadavg(),
        }
        path = self.out / "results.json"
        path.write_text(json.dumps(found, indent=1))
        return path

    def show(self) -> None:
        """Print the tables."""
        report.show_cells(self.cells)
        report.show_costs(self.filled)
        report.show_tax(self.tax)
        report.show_verdicts(report.verdicts(self.cells, self.tax))


def main() -> None:
    """Run what the options ask for."""
    options = _options()
    environment.make()
    out = options.out or Path(tempfile.mkdtemp(prefix="ambit-bench-retrieval-"))
    out.mkdir(parents=True, exist_ok=True)
    machine = _machine()
    print(f"{machine}; results go to {out}")
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as name:
        folder = Path(name)
        workload, source = _workload(options, folder)
        about = {
            "machine": machine, "load_before": os.getloadavg(), "seed": options.seed, "source": source,
            "chunks": len(workload), "ks": options.k, "clients": options.clients,
        }  # fmt: skip
        results = Results(out, about)
        _stores(options, folder, workload, results)
    results.show()
    _draw(results.write())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=_number, default=100_000, help="100k, 400k, 1m")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--k", nargs="+", type=int, default=[10, 50])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each cell")
    parser.add_argument("--queries", type=int, default=200, help="different ones")
    parser.add_argument("--vectors", type=Path, help="a folder with vec.npy and q.npy to take from")
    parser.add_argument("--real", type=_number, default=30_000, help="vectors to make of real text")
    parser.add_argument("--synthetic", action="store_true", help="make no vectors of real text")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="a folder for JSON, plot and logs")
    parser.add_argument("--quick", action="store_true", help="at most two minutes, to see it work")
    options = parser.parse_args()
    if not 1 <= min(options.k) <= max(options.k) <= MAX_K:
        parser.error(f"k may be 1 to {MAX_K}")
    if options.quick:
        options.chunks, options.shares, options.sets = QUICK_CHUNKS, QUICK_SHARES, ["independent"]
        options.peers = [p for p in options.peers if p in QUICK_PEERS]
        options.k, options.seconds, options.queries = [10], 0.4, 60
        # Making real vectors takes longer than two minutes.
        options.synthetic |= not is_cached(options.real)
    return options


def _number(text: str) -> int:
    for suffix, factor in (("k", 1000), ("m", 1_000_000)):
        if text.lower().endswith(suffix):
            return int(float(text[:-1]) * factor)
    return int(text)


def _workload(options: argparse.Namespace, folder: Path) -> tuple[Workload, str]:
    started = time.monotonic()
    if options.vectors is None and not options.synthetic and not is_cached(options.real):
        print(f"making {options.real} vectors of ../shared/data, kept in {cache_dir()}")
    taken = pool(
        options.chunks,
        folder=options.vectors,
        n_real=options.real,
        n_queries=options.queries,
        synthetic=options.synthetic,
    )
    workload = build(
        taken.vectors, taken.queries, sets=options.sets, shares=options.shares, seed=options.seed
    )
    place = folder / "workload"
    place.mkdir()
    workload.write(place)
    seconds = time.monotonic() - started
    print(f"{len(workload)} chunks: {taken.source}; seed {options.seed}; made in {seconds:.0f} s")
    return workload, taken.source


def _stores(
    options: argparse.Namespace, folder: Path, workload: Workload, results: Results
) -> None:
    judge = Judge(workload)
    plan = Plan(options.k, options.clients, options.seconds)
    for name, store in _chosen(options).items():

        def say(text: str, store_name: str = name) -> None:
            print(f"{now()} {store_name}: {text}", flush=True)

        # Its data goes before the next store comes.
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder) as place:
            where = Path(place)
            server = nullcontext(Server())
            with postgres(where, ours=name == "ambit") if store.postgres else server as running:
                runner = Runner(
                    store.adapter,
                    Place(folder / "workload", where, running.url),
                    running,
                    results.out / f"{name}.log",
                    store.peer,
                )
                for found in measure(store, runner, judge, plan, say=say):
                    if isinstance(found, Cell):
                        results.cells.append(found)
                    else:
                        results.filled.append(found)
                if name == "ambit":
                    results.tax = _tax(runner)
        # A run that is broken off keeps what it has.
        results.write()


def _chosen(options: argparse.Namespace) -> dict[str, Store]:
    stores = {"ambit": OURS} | {name: PEERS[name] for name in options.peers}
    if not options.quick:
        return stores
    return {
        name: replace(store, lines=tuple(line for line in store.lines if line.quick))
        for name, store in stores.items()
    }


def _tax(runner: Runner) -> dict[str, Any]:
    try:
        found: dict[str, Any] = runner.output("tests.bench.retrieval.tax", runner.place.text())
    except StoreFailed as error:
        return {"failed": str(error)}
    return found


def _draw(results: Path) -> None:
    picture = results.with_suffix(".png")
    plot = Path(__file__).with_name("plot.py")
    command = [str(environment.python()), str(plot), str(results), str(picture)]
    drawn = subprocess.run(command, check=False).returncode == 0
    print(f"\nwritten: {results}" + (f", {picture}" if drawn else "; the plot failed"))


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    load = os.getloadavg()[0]
    name = names[0] if names else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores ({name}), load {load:.1f} before"


if __name__ == "__main__":
    main()
