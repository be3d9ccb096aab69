"""A process of the benchmark: `python -m tests.bench.retrieval.process build|serve ADAPTER PLACE [WHAT]`.

Reads one JSON command per line, writes one JSON answer per line; each client is one such process.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tests.bench.retrieval.adapters import Place, Searcher, parse_place
from tests.bench.retrieval.workload import MAX_K, Workload, pair, read

# However slow a store is, so many queries are asked in a cell.
LEAST = 12


def main() -> None:
    """Do what the arguments say."""
    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    action, adapter, place = sys.argv[1], sys.argv[2], parse_place(sys.argv[3])
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        import django

        django.setup()
    module = import_module(f"tests.bench.retrieval.adapters.{adapter}")
    if action == "build":
        built = getattr(module, sys.argv[4])(place)
        answers.write(json.dumps(asdict(built)) + "\n")
        return
    _serve(module.open_searcher(place, sys.argv[4]), place, answers)


def _serve(searcher: Searcher, place: Place, answers: TextIO) -> None:
    workload = read(place.workload)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = _warm(searcher, workload, command) if command["do"] == "warm" else None
            if answer is None:
                answer = _measure(searcher, workload, command)
        except Exception as error:  # noqa: BLE001 - a peer's failure is its result
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")


def _warm(searcher: Searcher, workload: Workload, command: dict[str, Any]) -> dict[str, Any]:
    bucket = workload.buckets[command["bucket"]]
    searcher.prepare(bucket.askers)
    until = time.perf_counter() + command["seconds"]
    for number in range(command["queries"]):
        searcher.search(pair(bucket, number), workload.queries[number], command["k"])
        if time.perf_counter() > until:
            break
    return {"warm": True}


def _measure(searcher: Searcher, workload: Workload, command: dict[str, Any]) -> dict[str, Any]:
    """Ask one query after another until the time is over; keep the rows of each query's first turn."""
    bucket, k = workload.buckets[command["bucket"]], command["k"]
    queries = np.asarray(workload.queries)
    rows = np.full((len(queries), MAX_K), -1, dtype=np.int64)
    milliseconds: list[float] = []
    parts: dict[str, list[float]] = {}
    began = time.perf_counter()
    for turn in count():
        number = (command["start"] + turn) % len(queries)
        asker = pair(bucket, number)
        started = time.perf_counter()
        found = searcher.search(asker, queries[number], k)
        ended = time.perf_counter()
        milliseconds.append(1000 * (ended - started))
        for name, value in searcher.parts().items():
            parts.setdefault(name, []).append(value)
        if turn < len(queries):
            rows[number, : len(found)] = found
        if ended - began >= command["seconds"] and turn + 1 >= LEAST:
            break
    path = Path(command["into"])
    arrays: dict[str, Any] = {"rows": rows[:, :k], "milliseconds": milliseconds} | parts
    np.savez(path, **arrays)
    return {"n": len(milliseconds), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    main()
