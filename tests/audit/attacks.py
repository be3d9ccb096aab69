"""What somebody who rules the database, and holds the signing key too, might do to a tenant's trail.

Each attack changes an export as if it had been written so: what the server says afterwards is consistent in itself.
Only the checkpoints that were kept outside are out of reach.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ambit.audit import verify
from ambit.audit.checkpoints import Signer

Line = dict[str, Any]


@dataclass
class Trail:
    """A tenant's events as they were exported, another tenant's, and what signs."""

    lines: list[Line]
    others: list[Line]
    sizes: list[int]
    signer: Signer

    def copy(self) -> Trail:
        """Return a trail that may be attacked."""
        return Trail(deepcopy(self.lines), self.others, self.sizes, self.signer)

    def notes(self) -> str:
        """Sign what the trail holds now, at every size it was signed at."""
        tree, texts = verify.Tree(), []
        for line in self.lines:
            tree.add(verify.leaf_hash(line["entry"]))
            if tree.size in self.sizes:
                at = datetime.fromisoformat(line["entry"]["at"])
                origin = line["entry"]["log"]
                note = self.signer.sign(origin=origin, size=tree.size, root=tree.root(), at=at)
                texts.append(note.rstrip("\n") + verify.NOTE_END)
        return "".join(texts)


def _renumbered(lines: list[Line]) -> list[Line]:
    for number, line in enumerate(lines):
        line["entry"]["number"] = number
    return lines


def _any(trail: Trail, chance: random.Random) -> int:
    # Up to the last checkpoint outside: what comes after it is not promised.
    return chance.randrange(trail.sizes[-1])


def edit(trail: Trail, chance: random.Random) -> None:
    """Change what was done, or who did it and the commitment with it."""
    line = trail.lines[_any(trail, chance)]
    if chance.random() < 0.5:
        line["entry"]["action"] += "x"
        return
    line["who"]["value"]["actor_id"] = str(chance.randrange(10**9))
    line["entry"]["who"] = verify.commitment(
        bytes.fromhex(line["who"]["salt"]), line["who"]["value"]
    )


def delete(trail: Trail, chance: random.Random) -> None:
    """Take an event out and close the gap."""
    del trail.lines[_any(trail, chance)]
    _renumbered(trail.lines)


def insert(trail: Trail, chance: random.Random) -> None:
    """Put an event in between."""
    number = _any(trail, chance)
    trail.lines.insert(number, deepcopy(trail.lines[chance.randrange(len(trail.lines))]))
    _renumbered(trail.lines)


def reorder(trail: Trail, chance: random.Random) -> None:
    """Swap two events."""
    one, other = chance.sample(range(trail.sizes[-1]), 2)
    lines = trail.lines
    lines[one], lines[other] = lines[other], lines[one]
    _renumbered(lines)


def truncate(trail: Trail, chance: random.Random) -> None:
    """Cut the end off."""
    del trail.lines[_any(trail, chance) :]


def swap_tenants(trail: Trail, chance: random.Random) -> None:
    """Put another tenant's event, or all of its trail, in place of this one's."""
    if chance.random() < 0.1:
        trail.lines = deepcopy(trail.others)
        return
    number = _any(trail, chance)
    trail.lines[number] = deepcopy(trail.others[chance.randrange(len(trail.others))])
    trail.lines[number]["entry"]["number"] = number
    trail.lines[number]["entry"]["log"] = trail.lines[number - 1]["entry"]["log"]


def back_date(trail: Trail, chance: random.Random) -> None:
    """Say that something happened earlier."""
    entry = trail.lines[_any(trail, chance)]["entry"]
    at = datetime.fromisoformat(entry["at"]) - timedelta(seconds=chance.randrange(1, 10**7))
    entry["at"] = at.isoformat().replace("+00:00", "Z")


def fork(trail: Trail, chance: random.Random) -> None:
    """Go on from an earlier state as if what followed had never been."""
    number = _any(trail, chance)
    for line in trail.lines[number:]:
        line["entry"]["counts"] = {"n": chance.randrange(10**9)}


ATTACKS: dict[str, Callable[[Trail, random.Random], None]] = {
    "edit": edit,
    "delete": delete,
    "insert": insert,
    "reorder": reorder,
    "truncate": truncate,
    "swap tenants": swap_tenants,
    "back-date": back_date,
    "fork": fork,
}


def is_found(trail: Trail, kept: str, key: verify.Key) -> bool:
    """Say whether whoever kept the checkpoints sees that the trail is not the one that was signed.

    The server signs anew whatever it shows.
    """
    shown = [("the export", trail.notes()), ("kept outside", kept)]
    return bool(verify.check_events(iter(trail.lines), shown, key).faults)
