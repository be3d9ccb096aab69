"""What a scan came to, for people and for programs; canaries by their ids alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

FOUND, CLEAN, INCOMPLETE = 1, 0, 2
# Places that are listed for people; a program gets all.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A canary in one file, in one form: where first, and how often."""

    canary: str
    store: str
    kind: str
    place: str
    relation: str
    form: str
    at: int
    count: int


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not searched, and why."""

    store: str
    place: str
    reason: str


@dataclass(slots=True)
class StoreTotal:
    """What was read of one store."""

    n_files: int = 0
    n_bytes: int = 0
    n_unpacked: int = 0
    n_beheaded: int = 0


@dataclass(slots=True)
class Report:
    """The whole of a scan."""

    n_canaries: int
    n_patterns: int
    seconds: float = 0
    server: str = ""
    stores: dict[str, StoreTotal] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    passed_over: list[Unread] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return 1 where a canary was found, else 2 where something was not searched, else 0."""
        if self.findings:
            return FOUND
        return INCOMPLETE if self.unread else CLEAN

    @property
    def canaries_found(self) -> set[str]:
        """Return the ids of the canaries that were found anywhere."""
        return {finding.canary for finding in self.findings}

    def counts(self) -> dict[str, int]:
        """Return how many canaries each place holds: a store, or a kind of page in it."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for finding in self.findings:
            found[f"{finding.store} {finding.kind}".strip()].add(finding.canary)
        return {place: len(ids) for place, ids in sorted(found.items())}

    def as_json(self) -> dict[str, object]:
        """Return the report as values that JSON can hold."""
        found = {"exit_code": self.exit_code, "n_found": len(self.canaries_found)}
        return {**found, "counts": self.counts(), **asdict(self)}

    def lines(self) -> Iterator[str]:
        """Yield the report for people, line by line."""
        read = sum(total.n_bytes for total in self.stores.values())
        unpacked = sum(total.n_unpacked for total in self.stores.values())
        yield (
            f"{self.n_canaries} canaries in {self.n_patterns} forms; {_mb(read)} read, "
            f"{_mb(unpacked)} unpacked, {self.seconds:.0f} s."
        )
        yield self.server
        yield ""
        yield from _table(self._rows())
        yield from self._places()
        if beheaded := sum(total.n_beheaded for total in self.stores.values()):
            yield f"{beheaded} long values lack their beginning: searched as they stand, not unpacked."
        yield from _listed("Not searched:", self.unread)
        yield from _listed("Passed over, since it keeps nothing of its own:", self.passed_over)
        yield ""
        yield self._verdict()

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield ("store", "files", "read", "canaries", "forms")
        by_store: defaultdict[str, defaultdict[str, list[Finding]]]
        by_store = defaultdict(lambda: defaultdict(list))
        for finding in self.findings:
            by_store[finding.store][finding.kind].append(finding)
        for name in sorted(self.stores.keys() | by_store.keys()):
            total = self.stores.get(name, StoreTotal())
            every = [finding for kind in by_store[name].values() for finding in kind]
            yield (name, str(total.n_files), _mb(total.n_bytes), *_counted(every))
            for kind, findings in sorted(by_store[name].items() if any(by_store[name]) else ()):
                yield (f"  {kind or 'elsewhere'}", "", "", *_counted(findings))

    def _places(self) -> Iterator[str]:
        by_place: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for finding in self.findings:
            by_place[finding.place, finding.relation].add(finding.canary)
        if not by_place:
            return
        yield ""
        yield "Where:"
        ordered = sorted(by_place.items(), key=lambda place: (-len(place[1]), place[0]))
        for (place, relation), ids in ordered[:SHOWN]:
            named = ", ".join(sorted(ids)[:3]) + (", …" if len(ids) > 3 else "")
            yield f"  {place}{f' {relation}' if relation else ''}: {len(ids)} ({named})"
        if len(ordered) > SHOWN:
            yield f"  and {len(ordered) - SHOWN} more files: --json names all"

    def _verdict(self) -> str:
        if self.findings:
            return f"FOUND: {len(self.canaries_found)} of {self.n_canaries} canaries."
        if self.unread:
            return "Nothing found, but not everything was searched: this proves nothing yet."
        return "Nothing found; everything named above was searched."


def _counted(findings: Iterable[Finding]) -> tuple[str, str]:
    findings = list(findings)
    forms = ", ".join(sorted({finding.form for finding in findings}))
    return str(len({finding.canary for finding in findings})), forms


def _listed(title: str, found: list[Unread]) -> Iterator[str]:
    if found:
        yield ""
        yield title
        yield from (f"  {each.store}: {each.place}: {each.reason}" for each in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"  and {len(found) - SHOWN} more: --json names all"


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        name, *numbers = row[:4]
        cells = [name.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join([*cells, row[4]]).rstrip()


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
