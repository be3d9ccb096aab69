"""Measure what Ambit promises and print it beside the figures to reach: `make bench`.

Reports and asserts nothing: a machine that does other things at the same time is slower.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from tests.bench import footprint, ingest, search
from tests.bench.service import Service, Tenant, running
from tests.bench.texts import source

PARTS = ("first", "ingest", "search")
Row = tuple[str, str, str]


def main() -> None:
    """Run the parts asked for, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {PARTS}; default: all")
    parts = parser.parse_args().parts or PARTS
    print(_machine())
    rows: list[Row] = []
    if "first" in parts:
        rows += _first()
    if {"ingest", "search"} & set(parts):
        with running() as service:
            tenant = service.tenant(service.operator(), "bench")
            peak = footprint.Peak(os.getpid())
            with peak.watching():
                if "ingest" in parts:
                    rows += _ingest(service, tenant)
                if "search" in parts:
                    rows += _search(service, tenant)
            print("largest moment under load, supervisor and benchmark not counted:")
            footprint.show_memory(peak.memory)
            total = footprint.total_pss(peak.memory)
            rows.append(("memory under load, PSS", f"{total:.0f} MB", "<= 2000 MB"))
    print(f"\n{'figure':52} {'measured':>12}   to reach")
    for what, measured, goal in rows:
        print(f"{what:52} {measured:>12}   {goal}")


def _first() -> list[Row]:
    first = footprint.first_answer()
    print("after the first answer:")
    footprint.show_memory(first.memory)
    rss = sum(rss for _, rss, _ in first.memory.values())
    return [
        ("start on an empty data directory", f"{first.ready_s:.1f} s", ""),
        ("first cited answer when installed", f"{first.answered_s:.1f} s", "<= 45 s"),
        (
            "memory after the first answer, PSS",
            f"{footprint.total_pss(first.memory):.0f} MB",
            "<= 2000 MB",
        ),
        ("the same, RSS: shared pages counted each time", f"{rss:.0f} MB", "<= 2000 MB"),
    ]


def _ingest(service: Service, tenant: Tenant) -> list[Row]:
    rows: list[Row] = []
    for rate in ingest.measure(service, tenant):
        raw = " and ".join(f"{one:.0f}" for one in rate.raw)
        print(
            f"{rate.n_documents} {rate.what} documents, {rate.n_chunks} chunks in"
            f" {rate.seconds:.1f} s: {rate.per_second:.1f} chunks/s;"
            f" bare encode before and after: {raw} chunks/s"
        )
        rows.append((f"ingest of {rate.what} documents / encode", f"{rate.share:.0%}", ">= 70 %"))
    return rows


def _search(service: Service, tenant: Tenant) -> list[Row]:
    rows: list[Row] = []
    for latency in search.measure(service, tenant):
        goal = "p95 <= 60 ms" if "one at a time" in latency.what else ""
        figure = f"{latency.p50:.0f} / {latency.p95:.0f} ms"
        rows.append((f"search p50 / p95, {latency.what}", figure, goal))
    return rows


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{len(os.sched_getaffinity(0))} cores ({names[0] if names else platform.machine()}),"
        f" load before {load}; texts: {source()}"
    )


if __name__ == "__main__":
    main()
