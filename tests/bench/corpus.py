"""Real and hostile files through the whole path: `python -m tests.bench.corpus [--files N]`.

Uploads every file of ../shared/data/parser_corpus.tar.xz to a fresh Ambit, two at a time, while a
member searches once a second. Ends 1 unless every file ended ready, or failed with a reason, within
the parser's limit, and every search was answered.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePath

import httpx2

from tests.bench.service import DATA, Api, running

CORPUS = DATA / "parser_corpus.tar.xz"
AT_ONCE = 2
# The parser's own limit, and room for the rest of the work on a busy machine.
LIMIT_S = 120 + 60
POLL_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    name: str
    state: str
    reason: str
    n_chunks: int
    seconds: float


@dataclass
class Searcher:
    """A member who asks once a second."""

    api: Api
    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Search until told to stop."""
        while not self.over.wait(1):
            started = time.monotonic()
            answer = self.api.send("POST", "/v1/search", json={"query": "a table of contents"})
            self.milliseconds.append(1000 * (time.monotonic() - started))
            self.statuses[answer.status_code] += 1


def main() -> None:
    """Upload, watch, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=0, help="only so many, evenly chosen")
    options = parser.parse_args()
    files = list(read_corpus())
    if options.files:
        files = files[:: max(1, len(files) // options.files)]
    with running() as service:
        tenant = service.tenant(service.operator(), "corpus")
        member = tenant.member("alice")
        collection = tenant.collection(
            "Corpus", [{"principal": f"member:{member}", "role": "owner"}]
        )
        api = tenant.acting_for(member)
        searcher = Searcher(tenant.acting_for(member))
        thread = threading.Thread(target=searcher.work)
        thread.start()
        started = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = list(pool.map(lambda file: take_in(api, collection, *file), files))
        seconds = time.monotonic() - started
        searcher.over.set()
        thread.join()
        health = api.send("GET", "/livez").status_code
    bad = report(outcomes, searcher, seconds)
    sys.exit(1 if bad or health != httpx2.codes.OK else 0)


def read_corpus() -> Iterator[tuple[str, bytes]]:
    """Yield each file's name and bytes; the names are the archive's, the files are never unpacked."""
    with tarfile.open(CORPUS) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield PurePath(member.name).name, content.read()


def take_in(api: Api, collection: str, name: str, content: bytes) -> Outcome:
    """Upload one file and wait for its end."""
    started = time.monotonic()
    document = api.call(
        "POST",
        "/v1/documents",
        files={"file": (name, content, "application/octet-stream")},
        data={"collection": collection},
    )
    while time.monotonic() - started < LIMIT_S:
        now = api.call("GET", f"/v1/documents/{document['id']}")
        if now["state"] in {"ready", "failed"}:
            break
        time.sleep(POLL_S)
    else:
        now["state"] = "hung"
    reason = now["reason"] or {"code": "", "detail": ""}
    return Outcome(
        name=name,
        state=now["state"] if now["state"] != "failed" or reason["detail"] else "failed unsaid",
        reason=reason["code"],
        n_chunks=now["n_chunks"] or 0,
        seconds=time.monotonic() - started,
    )


def report(outcomes: list[Outcome], searcher: Searcher, seconds: float) -> bool:
    """Print what happened; return whether anything of it may not be."""
    states = Counter(outcome.state for outcome in outcomes)
    print(f"{len(outcomes)} files in {seconds:.0f} s: " + _counted(states))
    print("reasons: " + _counted(Counter(o.reason for o in outcomes if o.state == "failed")))
    by_kind: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        kind = PurePath(outcome.name).suffix.lower() or "none"
        by_kind.setdefault(kind, Counter())[outcome.reason or outcome.state] += 1
    for kind, counts in sorted(by_kind.items(), key=lambda item: -item[1].total()):
        print(f"  {kind:12} {_counted(counts)}")
    print("slowest:")
    for outcome in sorted(outcomes, key=lambda o: -o.seconds)[:8]:
        ending = outcome.reason or outcome.state
        print(f"  {outcome.seconds:6.1f} s  {ending:20} {outcome.name}")
    print(f"chunks: {sum(o.n_chunks for o in outcomes)}")
    p50, p95 = percentiles(searcher.milliseconds)
    print(
        f"searches meanwhile: {_counted(searcher.statuses)}; p50 {p50:.0f} ms, p95 {p95:.0f} ms,"
        f" longest {max(searcher.milliseconds):.0f} ms"
    )
    refused = set(searcher.statuses) - {200}
    for outcome in outcomes:
        if outcome.state not in {"ready", "failed"}:
            print(f"WRONG: {outcome.name} is {outcome.state}")
    return bool(refused or set(states) - {"ready", "failed"})


def percentiles(milliseconds: list[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    return statistics.median(milliseconds), statistics.quantiles(milliseconds, n=20)[18]


def _counted(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "none"


if __name__ == "__main__":
    main()
