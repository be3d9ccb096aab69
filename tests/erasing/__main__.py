"""Forget ten thousand people and look for them in every byte of every store: `make prove-erasure`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from tests.erasing.prove import Proof, prove  # noqa: E402 - once Django is set up
from tests.erasing.town import halves_of  # noqa: E402
from tests.flows.service import Service  # noqa: E402


def main() -> int:
    """Return 0 when nothing of anybody forgotten is left, and everybody else is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000, help="how many to forget")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="keep the data directory here")
    asked = parser.parse_args()
    began = time.monotonic()
    _say(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="ambit-erasing-") as folder:
        # Short, for Unix sockets; and of its own, so that other people's remains are not searched.
        root = asked.keep or Path(folder)
        service = _service(root)
        try:
            halves = halves_of(service, asked.people, seed=asked.seed)
            found = prove(service, halves, jobs=os.cpu_count() or 1, say=_say)
        finally:
            service.stop()
    _print(found)
    _say(f"{time.monotonic() - began:.0f} s")
    return 1 if found.faults else 0


def _service(root: Path) -> Service:
    temporary = root / "tmp"
    temporary.mkdir(parents=True)
    return Service(root / "data", env={"TMPDIR": str(temporary)})


def _print(found: Proof) -> None:
    columns = ("before", "DELETE+VACUUM", "scrubbed")
    reports = (found.before, found.deleted, found.scrubbed)
    places = sorted({place for report in reports for place in report.counts()})
    _say(f"\n{found.n_people} people, {found.n_canaries} canaries found in")
    _say(f"{'store':<28}" + "".join(f"{column:>15}" for column in columns))
    for place in places:
        counts = [report.counts().get(place, 0) for report in reports]
        _say(f"{place:<28}" + "".join(f"{count:>15}" for count in counts))
    totals = [len(report.canaries_found) for report in reports]
    _say(f"{'anywhere':<28}" + "".join(f"{count:>15}" for count in totals))
    read = sum(total.n_bytes for total in found.scrubbed.stores.values())
    _say(f"\nlast look: {read / 1e6:.0f} MB in {found.scrubbed.seconds:.0f} s")
    _say(
        f"hidden after {max(found.hidden_s):.2f} s, scrubbed and closed after {found.scrub_s:.1f} s"
    )
    _say(f"meanwhile: {found.searches}")
    for fault in found.faults:
        _say(f"FAULT: {fault}")
    for finding in found.scrubbed.findings[:20]:
        _say(f"  {finding}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
