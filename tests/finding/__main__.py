"""Plant people, look for them, and print how much was found: `make measure-finding`; asserts nothing."""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import time
from collections.abc import Mapping

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.conf import settings  # noqa: E402 - settings exist once Django is set up
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from ambit.config.runtime.network import free_port  # noqa: E402
from ambit.config.runtime.supervisor import Stack  # noqa: E402
from ambit.corpus.identifiers import Identifier, IdentifierKind  # noqa: E402
from tests.finding.measure import (  # noqa: E402
    Survival,
    Tally,
    erase_beside_namesakes,
    look_by_manner,
    look_for,
    open_library,
)
from tests.finding.planted import (  # noqa: E402
    BEYOND,
    FOLDER,
    MANNERS,
    labelled,
    namesake,
    otherwise_written,
    people,
    planted,
)


def main() -> int:
    """Return 0 when everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--namesakes", type=int, default=100)
    parser.add_argument("--texts", type=int, default=750)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    if not FOLDER.exists():
        _say("../shared/data/pii is not here: nothing to measure")
        return 1
    with Stack(settings.EMBEDDED, port=free_port(), parts={"postgres", "redis"}):
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        call_command("plant_canary", stdout=io.StringIO())
        measure(asked)
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined]  # Postgres' own
    return 0


def measure(asked: argparse.Namespace) -> None:
    """Do all of it and print the tables."""
    drawn = random.Random(asked.seed)
    everybody, texts = people(asked.people), labelled(asked.texts)
    notes = planted(everybody, drawn=drawn)
    few = everybody[: asked.namesakes]
    others = planted([namesake(one, everybody[-1 - n]) for n, one in enumerate(few)], drawn=drawn)
    began = time.monotonic()
    library = open_library([])
    documents = [library.store(note) for note in notes]
    namesakes = [library.store(note) for note in others]
    labels = open_library(texts)
    n, taken = len(library.notes) + len(texts), time.monotonic() - began
    _say(
        f"seed {asked.seed}; {n} documents stored in {taken:.0f} s, {taken / n * 1000:.0f} ms each"
    )
    _by_manner(look_by_manner(library, everybody, documents))
    _by_kind("planted people", look_for(library, [i for one in everybody for i in one.identifiers]))
    spans = dict.fromkeys(mention for text in texts for mention in text.mentions)
    rewritten = [Identifier(kind, otherwise_written(kind, value)) for kind, value in spans]
    _by_kind("labelled texts", look_for(labels, rewritten))
    _survivors(erase_beside_namesakes(library, few, documents[: len(few)], namesakes))


def _by_manner(tallies: Mapping[tuple[IdentifierKind, str], Tally]) -> None:
    _say(f"\n{'written':<36}{'there':>7}{'found':>7}{'recall':>8}")
    for kind, manners in MANNERS.items():
        of_kind = {m: tallies[kind, m] for m in manners if (kind, m) in tallies}
        for manner, tally in of_kind.items():
            mark = " *" if manner in BEYOND[kind] else ""
            _say(
                f"{kind + ', ' + manner + mark:<36}{tally.there:>7}{tally.found:>7}{tally.recall:>8.3f}"
            )
        for name, chosen in (
            ("without those marked *", [m for m in of_kind if m not in BEYOND[kind]]),
            ("all", list(of_kind)),
        ):
            there = sum(of_kind[m].there for m in chosen)
            found = sum(of_kind[m].found for m in chosen)
            _say(f"{kind + ': ' + name:<36}{there:>7}{found:>7}{found / max(1, there):>8.3f}")


def _by_kind(name: str, tallies: Mapping[IdentifierKind, Tally]) -> None:
    _say(
        f"\n{name:<20}{'asked':>7}{'refused':>9}{'there':>7}{'found':>7}{'wrong':>7}{'recall':>8}{'precision':>11}{'ms':>7}"
    )
    for kind, one in sorted(tallies.items()):
        _say(
            f"{kind:<20}{one.asked:>7}{one.refused:>9}{one.there:>7}{one.found:>7}{one.wrong:>7}"
            f"{one.recall:>8.3f}{one.precision:>11.3f}{one.seconds / one.asked * 1000:>7.1f}"
        )


def _survivors(one: Survival) -> None:
    _say(
        f"\n{one.people} people erased who have a namesake: {one.own_hidden} of their own notes found by more than a"
        f" name and hidden; namesakes' notes offered by the name alone: {one.offered_by_name}, by more:"
        f" {one.offered_by_more}; survived: {one.survived}, lost: {one.hidden}"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
