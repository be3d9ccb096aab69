"""Who may read what, in dictionaries and sets: the truth that Ambit is compared with. Knows nothing of Ambit."""

from __future__ import annotations

from collections import defaultdict

from tests.replay.history import Fact, History, Page


class Model:
    """The facts that hold, and what follows from them."""

    def __init__(self, history: History) -> None:
        """Begin with what held at the start."""
        self.parents = history.parents
        self.pages: dict[str, Page] = {page.name: page for page in history.pages}
        # Direct members of teams; teams of collections.
        self.teams: dict[str, set[str]] = defaultdict(set)
        self.readers: dict[str, set[str]] = defaultdict(set)
        for collection, teams in history.designs.items():
            self.readers[collection] = set(teams)
        for fact in history.start:
            self.change(fact, begins=True)

    def change(self, fact: Fact, *, begins: bool) -> None:
        """Let a fact hold, or no longer."""
        if fact.kind == "grant":
            held, item = self.readers[fact.subject], fact.team
        else:
            held, item = self.teams[fact.team], fact.subject
        if begins == (item in held):
            raise ValueError(f"the history contradicts itself: {fact}")
        (held.add if begins else held.discard)(item)

    def groups_of(self, member: str) -> set[str]:
        """Return the teams a member is in, directly or through a team inside."""
        found: set[str] = set()
        waiting = [team for team, members in self.teams.items() if member in members]
        while waiting:
            team = waiting.pop()
            found.add(team)
            waiting += [self.parents[team]] if team in self.parents else []
        return found

    def allowed(self, member: str) -> set[str]:
        """Return the pages a member may read."""
        mine = self.groups_of(member)
        return {page.name for page in self.pages.values() if not mine.isdisjoint(self._of(page))}

    def affected(self, fact: Fact) -> set[str]:
        """Return the members whose sight a fact may change."""
        if fact.kind != "grant":
            return {fact.subject}
        everybody: set[str] = set().union(*self.teams.values())
        return {member for member in everybody if fact.team in self.groups_of(member)}

    def _of(self, page: Page) -> set[str] | frozenset[str]:
        return self.readers[page.collection] if page.readers is None else page.readers
