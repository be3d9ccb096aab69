"""Time the scanner over made-up files: `python -m tests.bench.scan [canaries] [GB]`; asserts nothing."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.patterns import Patterns
from ambit.scan.search import Item, search_item
from ambit.scan.stores import Store

LETTERS = "abcdefghijklmnop "
FILE = 128 << 20


def main() -> None:
    """Print how long making the patterns takes, and MB/s by what is read and by processes."""
    n_canaries = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    gigabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 2
    canaries = [_canary(number) for number in range(n_canaries)]
    began = time.monotonic()
    patterns = Patterns(canaries)
    print(f"{n_canaries:,} canaries: {len(patterns):,} forms in {time.monotonic() - began:.1f} s")
    print(f"memory: {psutil.Process().memory_info().rss / 1e6:,.0f} MB")
    with tempfile.TemporaryDirectory(prefix="scan-bench-") as folder:
        for name, data in _kinds().items():
            path = Path(folder) / name
            path.write_bytes(data)
            began = time.monotonic()
            search_item(Item("x", (path,), len(data)), patterns)
            print(f"{name:>12}: {len(data) / (time.monotonic() - began) / 1e6:,.0f} MB/s")
            path.unlink()
        n_files = max(1, round(gigabytes * 1e9 / FILE))
        for number in range(n_files):
            (Path(folder) / f"{number}").write_bytes(os.urandom(FILE))
        for jobs in (1, os.cpu_count() or 1):
            report = scan(canaries, [Store("x", Path(folder))], database=None, jobs=jobs)
            print(
                f"{n_files * FILE / 1e9:.1f} GB, {jobs} processes: {report.seconds:.0f} s, patterns included"
            )


def _canary(number: int) -> Canary:
    drawn = random.Random(number)
    name = "".join(drawn.choice(LETTERS) for _ in range(20)).title()
    vector = np.random.default_rng(number).standard_normal(384) / 20
    return Canary(str(number), texts=(name,), vector=tuple(vector.tolist()))


def _kinds() -> dict[str, bytes]:
    drawn = np.random.default_rng(99_999_999)
    words = ["".join(random.Random(n).choice(LETTERS) for _ in range(7)) for n in range(5000)]
    text = " ".join(random.Random(1).choices(words, k=FILE // 8)).encode()
    return {
        "noise": os.urandom(FILE),
        "half vectors": (drawn.standard_normal(FILE // 2) / 20).astype("<f2").tobytes(),
        "text": text,
        "zeros": bytes(FILE),
    }


if __name__ == "__main__":
    main()
