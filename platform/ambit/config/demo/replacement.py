"""Act 6: a new version takes the old one's place, with no moment of neither or both."""

from __future__ import annotations

import time

from ambit.config.demo.uploads import READY_WITHIN_S, StillIngesting
from ambit.config.demo.world import World

VISITS = "At what time are the visiting hours on the general wards?"


def replace_version(world: World) -> None:
    """Replace the notice of visiting hours, searching all the while."""
    board, alice = world.board, world.people["Alice"]
    board.act("A new version replaces the old")
    old = world.ask("Alice", VISITS)
    board.check("before: 14:00 to 18:00", old.says("14:00 to 18:00"), seen=old.raw)
    document = world.document("visiting-hours")
    path = world.manifest.replacements["visiting-hours"]
    alice.call(
        "PUT",
        f"/v1/documents/{document}/content",
        expect=202,
        files={"file": (path.name, path.read_bytes())},
    )
    seen = _search_until_replaced(world, document)
    board.check(
        f"in {len(seen)} searches meanwhile there was always exactly one of the two",
        all(len(versions) == 1 for versions in seen) and seen[-1] == {2},
        seen=seen,
    )
    new = world.ask("Alice", VISITS)
    board.check(
        "after: 10:00 to 20:00, and the old hours are nowhere",
        new.says("10:00 to 20:00") and not new.says("14:00 to 18:00"),
        seen=new.raw,
    )


def _search_until_replaced(world: World, document: str) -> list[set[int]]:
    alice = world.people["Alice"]
    seen: list[set[int]] = []
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        found = [r["document"] for r in alice.search(VISITS)]
        seen.append({d["version"] for d in found if d["id"] == document})
        world.board.live(f"search {len(seen)}: version {sorted(seen[-1])}")
        if 2 in seen[-1]:
            world.board.settle()
            return seen
        time.sleep(0.05)
    raise StillIngesting("the new version was not found in time")
