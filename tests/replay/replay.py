"""Let each event happen, and after each compare what members see with the model."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle, islice

from tests.replay.history import Event, History
from tests.replay.model import Model
from tests.replay.world import World

# Members whom an event does not concern, looked at all the same; everybody has a turn.
N_BYSTANDERS = 3


class Mismatch(AssertionError):
    """A member sees what the model does not allow, or does not see what it allows."""


@dataclass(slots=True)
class Report:
    """What a replay found: counts, and seconds for the events themselves."""

    n_members: int
    n_groups: int
    n_nested: int
    n_collections: int
    n_pages: int
    n_events: int = 0
    n_sights: int = 0
    n_pairs: int = 0
    most_groups: int = 0
    seconds_applying: float = 0.0
    seconds_checking: float = 0.0
    # Rows that each event wrote, audit events apart, by kind of event.
    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    audit: Counter[int] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return the report as lines."""
        both = self.seconds_applying + self.seconds_checking
        return [
            f"{self.n_members} members, {self.n_groups} groups ({self.n_nested} inside another;"
            f" at most {self.most_groups} a member), {self.n_collections} collections, {self.n_pages} documents",
            f"{self.n_events} events, each in its own transaction: {self.n_events / self.seconds_applying:.0f}"
            f" a second; {self.n_events / both:.1f} a second with the comparison after each",
            f"{self.n_sights} allowed sets compared, {self.n_pairs} pairs of member and document: all exact",
            f"{'rows written by one event':28} {'events':>6} {'min':>5} {'median':>7} {'max':>5}",
            *(
                f"{kind:28} {len(rows):6} {min(rows):5} {statistics.median(rows):7.0f} {max(rows):5}"
                for kind, rows in sorted(self.rows.items())
            ),
            f"and audit events: {min(self.audit)} to {max(self.audit)} each",
        ]


class Replay:
    """A world, the model beside it, and the comparison of the two."""

    def __init__(self, history: History) -> None:
        """Make both as they were at the start."""
        self.history = history
        self.world = World(history)
        self.model = Model(history)
        self._turn = cycle(history.members)
        self.report = Report(
            n_members=len(history.members) + 1,
            n_groups=len(history.teams),
            n_nested=len(history.parents),
            n_collections=len(self.world.collections),
            n_pages=len(history.pages),
        )

    def run(
        self, *, every: int | None = None, say: Callable[[str], None] = lambda _line: None
    ) -> Report:
        """Replay everything; compare all members with all pages at the start, at the end, and after so many events.

        Raises Mismatch at the first difference.
        """
        self.compare_everybody()
        for number, event in enumerate(self.history.events, 1):
            self.step(event)
            if every and number % every == 0:
                self.compare_everybody()
                say(f"{number} events, until {event.date}")
        self.compare_everybody()
        return self.report

    def step(self, event: Event) -> None:
        """Let one event happen and compare whom it concerns, before or after, and some others."""
        affected = self.model.affected(event.fact)
        started = time.perf_counter()
        written = self.world.apply(event)
        self.report.seconds_applying += time.perf_counter() - started
        self.report.n_events += 1
        self.report.audit[written.pop("audit", 0)] += 1
        self.report.rows[event.kind].append(written.total())
        self.model.change(event.fact, begins=event.begins)
        self._compare(affected | set(islice(self._turn, N_BYSTANDERS)), after=str(event))

    def compare_everybody(self) -> None:
        """Compare every member with every page."""
        self._compare(self.history.members, after="everything so far")
        missing = self.model.pages.keys() - self.world.keepers_sight()
        if missing:
            raise Mismatch(f"the keeper does not see {sorted(missing)}")
        most = max(len(self.model.groups_of(name)) for name in self.history.members)
        self.report.most_groups = max(self.report.most_groups, most)

    def _compare(self, members: Iterable[str], *, after: str) -> None:
        started = time.perf_counter()
        for name, seen in self.world.sight(members).items():
            allowed = self.model.allowed(name)
            self.report.n_sights += 1
            self.report.n_pairs += len(self.model.pages)
            if seen != allowed:
                raise Mismatch(
                    f"after {after}: {name} sees too much {sorted(seen - allowed)},"
                    f" too little {sorted(allowed - seen)}"
                )
        self.report.seconds_checking += time.perf_counter() - started
