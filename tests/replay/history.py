"""The real history in ../shared/data/engineering: who had which right at the start, then each dated change.

in the files                  here
a team                        a group; a team whose path begins with another's is a group inside that one's
an organisation's members     a group, "kubernetes:*"
a team's right to a repository   a grant on a collection, "kubernetes/website", which holds one page
a design document             a document of its interest group's collection, "designs/sig-node"; where its
                              reader_groups differ from that group, they are grants of its own
a name in reader_groups       the teams of organisation kubernetes named so, or so and more ("sig-node-leads");
                              no team at all where none ever was ("TBD")
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ambit.access.types import RoleName

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "engineering"
Kind = Literal["member", "orgmember", "grant"]
# GitHub's five rights in Ambit's three roles.
ROLES: dict[str, RoleName] = {
    "read": "reader",
    "triage": "reader",
    "write": "editor",
    "maintain": "editor",
    "admin": "owner",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """That a member is in a team or organisation, or that a team has a role on a collection."""

    kind: Kind
    team: str
    subject: str
    role: RoleName | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that began or ended."""

    date: str
    begins: bool
    fact: Fact

    @property
    def kind(self) -> str:
        """Say what happened, for the report."""
        return f"{self.fact.kind} {'granted' if self.begins else 'revoked'}"


@dataclass(frozen=True, slots=True)
class Page:
    """A document; readers are the teams of its own grants, or None where it has its collection's."""

    name: str
    collection: str
    readers: frozenset[str] | None
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """All of it: who and what there ever is, what held at first, what changed."""

    start: tuple[Fact, ...]
    events: tuple[Event, ...]
    teams: frozenset[str]
    # The teams that read a collection of designs, throughout.
    designs: dict[str, frozenset[str]]
    pages: tuple[Page, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return every fact that ever holds."""
        return (*self.start, *(e.fact for e in self.events))

    @property
    def members(self) -> list[str]:
        """Return everybody who is ever in a team or organisation."""
        return sorted({f.subject for f in self.facts if f.kind != "grant"})

    @property
    def repositories(self) -> list[str]:
        """Return every repository that a team ever has a right to."""
        return sorted({f.subject for f in self.facts if f.kind == "grant"})

    @property
    def parents(self) -> dict[str, str]:
        """Return the team around each team that is inside one."""
        found = {team: _parent(team, self.teams) for team in sorted(self.teams)}
        return {team: parent for team, parent in found.items() if parent}

    def part(self, *prefixes: str) -> History:
        """Return what concerns the teams whose names begin so."""
        start = tuple(f for f in self.start if f.team.startswith(prefixes))
        events = tuple(e for e in self.events if e.fact.team.startswith(prefixes))
        kept = frozenset(f.team for f in (*start, *(e.fact for e in events)))
        repositories = {f.subject for f in (*start, *(e.fact for e in events))}
        # Designs that none of the teams reads would be nobody's throughout.
        pages = [
            _limited(page, kept)
            for page in self.pages
            if page.collection in repositories
            or kept & (page.readers or self.designs.get(page.collection, frozenset()))
        ]
        return History(
            start=start,
            events=events,
            teams=kept,
            designs={name: teams & kept for name, teams in self.designs.items()},
            pages=tuple(pages),
        )


def read_history() -> History:
    """Read the three files."""
    start = tuple(_fact(row) for row in _rows("permission_snapshot"))
    events = tuple(
        Event(row["date"], row["op"] == "grant", _fact(row)) for row in _rows("permission_events")
    )
    facts = (*start, *(e.fact for e in events))
    teams = frozenset(f.team for f in facts)
    documents = list(_rows("documents"))
    designs = {
        f"designs/{row['collection']}": _teams_named(row["collection"], teams) for row in documents
    }
    repositories = sorted({f.subject for f in facts if f.kind == "grant"})
    return History(
        start=start,
        events=events,
        teams=teams,
        designs=designs,
        pages=(
            *(_design(row, teams) for row in documents),
            *(Page(f"page of {name}", name, None, name) for name in repositories),
        ),
    )


def _rows(name: str) -> Iterable[dict[str, Any]]:
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt") as file:
        for line in file:
            yield json.loads(line)


def _fact(row: dict[str, Any]) -> Fact:
    team = f"{row['org']}:{row['team']}"
    if row["kind"] != "grant":
        return Fact(row["kind"], team, row["subject"])
    repository, right = row["subject"].rsplit(":", 1)
    return Fact("grant", team, f"{row['org']}/{repository}", ROLES[right])


def _design(row: dict[str, Any], teams: frozenset[str]) -> Page:
    readers = None
    if row["reader_groups"] != [row["collection"]]:
        readers = frozenset().union(*(_teams_named(name, teams) for name in row["reader_groups"]))
    return Page(row["id"], f"designs/{row['collection']}", readers, row["title"])


def _teams_named(name: str, teams: frozenset[str]) -> frozenset[str]:
    last = {team: team.removeprefix("kubernetes:").rsplit("/", 1)[-1] for team in teams}
    return frozenset(
        team
        for team in teams
        if team.startswith("kubernetes:")
        and (last[team] == name or last[team].startswith(f"{name}-"))
    )


def _parent(team: str, teams: frozenset[str]) -> str | None:
    """Return the longest path around a team's: a few names have a slash of their own."""
    while "/" in team:
        team = team.rsplit("/", 1)[0]
        if team in teams:
            return team
    return None


def _limited(page: Page, teams: frozenset[str]) -> Page:
    readers = None if page.readers is None else page.readers & teams
    return Page(page.name, page.collection, readers, page.text)
