"""Run random histories and all short ones of the small world: `make histories N=10000`.

Two processes share one Postgres; every history makes tenants of its own. A failure is shrunk and
printed as the calls that lead to it.
"""

from __future__ import annotations

import argparse
import gc
import io
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkContext

PROCESSES = 2
# So many histories are drawn from one seed; that of the next follows from the first.
SHARE = 250


@dataclass(frozen=True)
class Outcome:
    """What one process found."""

    histories: int
    deeds: int
    leak: str = ""
    false_denial: str = ""


def main() -> None:
    """Run what was asked for and print it; exit with 1 on a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=300, help="random histories")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--length", type=int, default=5, help="of the small world's histories; -1: none"
    )
    asked = parser.parse_args()
    _set_up()
    context = multiprocessing.get_context("fork")
    with _running():
        found = asked.count > 0 and _random(context, asked.count, asked.seed)
        if asked.length >= 0:
            found |= _all_short(context, asked.length)
    sys.exit(found)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _random(context: ForkContext, count: int, seed: int) -> bool:
    _say(f"{count} random histories, seed {seed}")
    begun = time.monotonic()
    further = random.Random(seed)
    shares = [
        (min(SHARE, count - at), further.getrandbits(32) if at else seed)
        for at in range(0, count, SHARE)
    ]
    outcomes: list[Outcome] = []
    with context.Pool(PROCESSES) as pool:
        for outcome in pool.imap_unordered(_draw, shares):
            outcomes.append(outcome)
            _say(
                f"  {sum(o.histories for o in outcomes)} done after {time.monotonic() - begun:.0f} s"
            )
            if outcome.leak or outcome.false_denial:
                break
    seconds = time.monotonic() - begun
    histories, deeds = sum(o.histories for o in outcomes), sum(o.deeds for o in outcomes)
    leaks = [o.leak for o in outcomes if o.leak]
    denials = [o.false_denial for o in outcomes if o.false_denial]
    _say(
        f"  {histories} histories, {deeds} checks of everyone: {len(leaks)} leaks,"
        f" {len(denials)} false denials; {seconds:.0f} s, {seconds / histories * 1000:.0f} ms each"
    )
    for text in (*leaks, *denials):
        _say(text)
    return bool(leaks or denials)


def _draw(share: tuple[int, int]) -> Outcome:
    from tests.histories.draw import draw_histories
    from tests.histories.machine import Tally
    from tests.histories.town import FalseDenial, Leak

    count, seed = share
    # What is loaded by now stays: looking through it for garbage again and again costs a tenth.
    gc.freeze()
    tally = Tally()
    try:
        draw_histories(count, seed=seed, answers=True, tally=tally)
    except Leak as error:
        return Outcome(tally.histories, tally.deeds, leak=f"seed {seed}: {error}")
    except FalseDenial as error:
        return Outcome(tally.histories, tally.deeds, false_denial=f"seed {seed}: {error}")
    return Outcome(tally.histories, tally.deeds)


def _all_short(context: ForkContext, length: int) -> bool:
    from tests.histories.small_world import Path, explore
    from tests.histories.town import FalseDenial, Leak

    _say(f"all histories of the small world up to length {length}")
    begun = time.monotonic()
    with context.Pool(PROCESSES, initializer=_begin_small_world) as pool:

        def visit_all(
            paths: Sequence[Path],
            further: bool,  # noqa: FBT001 - explore calls it so
        ) -> Iterable[tuple[bytes, list[bytes]]]:
            _say(f"  {len(paths)} states after {len(paths[0]) if paths else 0}")
            return pool.imap(_visit, [(path, further) for path in paths], chunksize=8)

        try:
            done = explore(length, visit_all)
        except (Leak, FalseDenial) as error:
            _say(f"{type(error).__name__}: {error}")
            return True
    _say(
        f"  {done.histories} histories in {done.states} states, {done.letters_tried} letters tried:"
        f" 0 leaks, 0 false denials; {time.monotonic() - begun:.0f} s"
    )
    return False


def _begin_small_world() -> None:
    from tests.histories.small_world import SmallWorld

    _World.own = SmallWorld()


class _World:
    """A process's own."""

    own: object = None


def _visit(asked: tuple[tuple[int, ...], bool]) -> tuple[bytes, list[bytes]]:
    from tests.histories.small_world import SmallWorld

    assert isinstance(_World.own, SmallWorld)
    return _World.own.visit(asked[0], further=asked[1])


def _set_up() -> None:
    """Make Django ready as the tests have it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import tests.settings  # noqa: F401, I001 - names its folder before anything reads the settings
    import django
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment()


@contextmanager
def _running() -> Iterator[None]:
    """Run Postgres, Redis and the embedding service in a folder of our own, and no workers."""
    import psycopg
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from ambit.config.runtime.network import free_port
    from ambit.config.runtime.supervisor import Stack
    from tests.database.private import superuser_url

    with Stack(settings.EMBEDDED, port=free_port(), parts={"postgres", "redis", "embed"}):
        with psycopg.connect(superuser_url(settings.EMBEDDED), autocommit=True) as superuser:
            # What is kept here is thrown away: waiting for the disk would be most of the time.
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                superuser.execute(f"ALTER SYSTEM SET {name} = off".encode())
            superuser.execute("SELECT pg_reload_conf()")
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        call_command("plant_canary", stdout=io.StringIO())
        for connection in connections.all(initialized_only=True):
            connection.close()
        # The processes are forked from here: a pool's threads would be lost in them.
        connections["default"].close_pool()  # type: ignore[attr-defined]  # Postgres' own
        yield


if __name__ == "__main__":
    main()
