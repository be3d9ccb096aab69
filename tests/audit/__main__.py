"""Attack a trail a thousand times in each way and print what was found: `make prove-audit`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.audit.prove import outside, proof_bytes, prove  # noqa: E402 - once Django is set up
from tests.database.private import PrivateDatabase  # noqa: E402

TEN_MILLION = 10_000_000


def main() -> int:
    """Return 0 when every attack was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=1000, help="of each kind in exports")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    started = time.monotonic()
    _say(f"seed {asked.seed}; the attacker rules the database and holds the signing key")
    private = PrivateDatabase()
    try:
        with outside():
            counts = prove(private, tries=asked.tries, chance=random.Random(asked.seed))
    finally:
        private.stop()
    _say(f"\n{'attack':<52}{'tried':>7}{'found':>7}")
    for count in counts:
        _say(f"{count.kind:<52}{count.tried:>7}{count.tried - len(count.missed):>7}")
    missed = [f"{count.kind} ({', '.join(count.missed[:5])})" for count in counts if count.missed]
    _say(f"\nproof of one event among {TEN_MILLION:,}: {proof_bytes(TEN_MILLION)} bytes")
    _say(f"not found: {'; '.join(missed)}" if missed else "all found")
    _say(f"{time.monotonic() - started:.0f} s")
    return 1 if missed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
