"""Retrieval quality under permissions on real text: `python -m tests.bench.medical_qa`.

Indexes 2,000 answers of MedQuAD over two tenants and four groups through the API, then asks 200 of
their questions twice: as a member who may see the answer, and as one who may not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import time
from dataclasses import dataclass
from typing import Any

from tests.bench.service import DATA, Api, Service, running, upload_texts, wait_until_final

K = 10


@dataclass
class Shelf:
    """One group's documents and the people who may and may not read them."""

    reader: Api
    stranger: Api
    rows: list[dict[str, Any]]
    ids: dict[str, str]


def main() -> None:
    """Print recall@10, MRR and the number of forbidden passages for each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args()
    rows = _rows(options.answers, options.seed)
    with running() as service:
        started = time.monotonic()
        shelves = _index(service, rows)
        seconds = time.monotonic() - started
        print(f"indexed {len(rows)} answers in {seconds:.0f} s")
        chosen = random.Random(options.seed).sample(
            [(shelf, row) for shelf in shelves for row in shelf.rows], options.questions
        )
        for mode in ("hybrid", "vector", "text"):
            _report(mode, chosen)


def _rows(number: int, seed: int) -> list[dict[str, Any]]:
    with gzip.open(DATA / "medical_qa" / "qa.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    return random.Random(seed).sample(rows, number)


def _index(service: Service, rows: list[dict[str, Any]]) -> list[Shelf]:
    operator = service.operator()
    shelves = []
    quarter = len(rows) // 4
    for t in range(2):
        tenant = service.tenant(operator, f"bench-{t}")
        people = [tenant.member(f"reader-{n}") for n in range(2)]
        for n in range(2):
            group = tenant.group(f"group-{n}", [people[n]])
            collection = tenant.collection(
                f"collection-{n}", [{"principal": f"group:{group}", "role": "editor"}]
            )
            mine = rows[(2 * t + n) * quarter :][:quarter]
            reader, stranger = (tenant.acting_for(people[i]) for i in (n, 1 - n))
            # The title says nothing, so that only the answers' own words can be found.
            documents = [
                {
                    "collection": collection,
                    "title": f"Answer {i}",
                    "external_id": row["id"],
                    "text": row["answer"],
                }
                for i, row in enumerate(mine)
            ]
            ids = upload_texts(reader, documents)
            shelves.append(
                Shelf(reader, stranger, mine, dict(zip([r["id"] for r in mine], ids, strict=True)))
            )
    for shelf in shelves:
        wait_until_final(shelf.reader, list(shelf.ids.values()))
    return shelves


def _report(mode: str, chosen: list[tuple[Shelf, dict[str, Any]]]) -> None:
    ranks: list[int | None] = []
    forbidden = 0
    milliseconds = []
    for shelf, row in chosen:
        body = {"query": row["question"], "k": K, "mode": mode}
        started = time.monotonic()
        allowed = shelf.reader.call("POST", "/v1/search", json=body)["results"]
        milliseconds.append(1000 * (time.monotonic() - started))
        mine = set(shelf.ids.values())
        found = list(dict.fromkeys(r["document"]["id"] for r in allowed))
        forbidden += sum(r["document"]["id"] not in mine for r in allowed)
        denied = shelf.stranger.call("POST", "/v1/search", json=body)["results"]
        forbidden += sum(r["document"]["id"] in mine for r in denied)
        wanted = shelf.ids[row["id"]]
        ranks.append(found.index(wanted) + 1 if wanted in found else None)
    hits = [r for r in ranks if r is not None]
    p95 = statistics.quantiles(milliseconds, n=20)[18]
    print(
        f"{mode:7} recall@{K} {len(hits) / len(ranks):.3f}  MRR {sum(1 / r for r in hits) / len(ranks):.3f}"
        f"  forbidden passages {forbidden} of {2 * len(ranks)} searches"
        f"  p50 {statistics.median(milliseconds):.0f} ms  p95 {p95:.0f} ms"
    )


if __name__ == "__main__":
    main()
