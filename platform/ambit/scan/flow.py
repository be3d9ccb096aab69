"""Scan: canaries → their forms → every file of every store → search → report.

NEVER writes, prints or keeps a canary's content: what is found is said with the canary's id.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ambit.scan.canaries import Canary
from ambit.scan.patterns import Patterns
from ambit.scan.report import Finding, Report, StoreTotal, Unread
from ambit.scan.search import Item, Outcome, search_item
from ambit.scan.server import Answer, ServerSilent, ask
from ambit.scan.stores import Listing, Store, list_items

STATISTICS = "statistics"
SAY_EVERY_S = 5.0
# Files that appear while others are searched, such as segments of the log, get so many looks.
LOOKS = 3


def scan(
    canaries: Sequence[Canary],
    stores: Sequence[Store],
    *,
    database: str | None,
    lacking: Sequence[Unread] = (),
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Look through every file of the stores, and the server's statistics, for the canaries.

    Without a database to ask, with stores lacking, and for whatever cannot be read, it is incomplete.
    """
    began = time.monotonic()
    patterns = Patterns(canaries)
    report = Report(n_canaries=len(canaries), n_patterns=len(patterns), unread=list(lacking))
    answer = _ask(database, patterns, canaries, report)
    for outcome in _outcomes(stores, patterns, report, jobs=jobs, say=say):
        _add(outcome, patterns, canaries, answer.relations, report)
    report.findings.sort(key=lambda found: (found.store, found.place, found.canary, found.form))
    report.seconds = time.monotonic() - began
    return report


def _ask(
    database: str | None, patterns: Patterns, canaries: Sequence[Canary], report: Report
) -> Answer:
    try:
        answer = ask(database, patterns)
    except ServerSilent as reason:
        report.unread.append(Unread(STATISTICS, "pg_statistic", str(reason)))
        report.server = f"The database was not asked: {reason}."
        return Answer()
    report.server = (
        "The database wrote everything out first (CHECKPOINT)."
        if answer.has_checkpointed
        else "The database was asked, but this login may not CHECKPOINT: pages may be in memory only."
    )
    if not answer.has_checkpointed:
        report.unread.append(Unread("postgres", "shared buffers", "no CHECKPOINT was allowed"))
    report.stores[STATISTICS] = StoreTotal(n_files=answer.n_statistics)
    report.findings += [
        Finding(canaries[who].id, STATISTICS, "", "pg_statistic", relation, form, 0, count)
        for (who, relation, form), count in answer.found.items()
    ]
    return answer


def _outcomes(
    stores: Sequence[Store],
    patterns: Patterns,
    report: Report,
    *,
    jobs: int,
    say: Callable[[str], None],
) -> Iterator[Outcome]:
    """Yield what each item came to; items that appear meanwhile are searched after the others."""
    searched: set[tuple[Path, ...]] = set()
    vanished: dict[tuple[Path, ...], Item] = {}
    for look in range(LOOKS):
        listing = list_items(stores)
        fresh = [item for item in listing.items if item.paths not in searched]
        if look == 0:
            _add_listing(listing, patterns, report)
        if not fresh:
            break
        say(f"{len(fresh)} files to search, {sum(i.n_bytes for i in fresh) / 1e9:.2f} GB")
        for outcome in _searched(fresh, patterns, jobs=jobs, say=say):
            if outcome.vanished:
                vanished[outcome.item.paths] = outcome.item
            else:
                searched.add(outcome.item.paths)
                vanished.pop(outcome.item.paths, None)
                yield outcome
    for item in vanished.values():
        place = _place(item.paths[0], patterns)
        report.passed_over.append(Unread(item.store, place, "removed while the scan ran"))


def _searched(
    items: Sequence[Item], patterns: Patterns, *, jobs: int, say: Callable[[str], None]
) -> Iterator[Outcome]:
    if jobs == 1 or len(items) == 1:
        outcomes = (search_item(item, patterns) for item in items)
        yield from _telling(outcomes, items, say)
        return
    # Forked, so that all share the one table of patterns.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, context, initializer=_keep, initargs=(patterns,)) as pool:
        futures = [pool.submit(_search_kept, item) for item in items]
        yield from _telling((future.result() for future in as_completed(futures)), items, say)


_kept: list[Patterns] = []


def _keep(patterns: Patterns) -> None:
    _kept[:] = [patterns]


def _search_kept(item: Item) -> Outcome:
    return search_item(item, _kept[0])


def _telling(
    outcomes: Iterator[Outcome], items: Sequence[Item], say: Callable[[str], None]
) -> Iterator[Outcome]:
    total, done, said = sum(item.n_bytes for item in items), 0, time.monotonic()
    for number, outcome in enumerate(outcomes, start=1):
        yield outcome
        done += outcome.item.n_bytes
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            say(f"{number} of {len(items)} files, {done / 1e9:.1f} of {total / 1e9:.1f} GB")


def _add(
    outcome: Outcome,
    patterns: Patterns,
    canaries: Sequence[Canary],
    relations: dict[str, str],
    report: Report,
) -> None:
    item = outcome.item
    path = item.paths[0]
    # Most files have nothing to say, and their names need no look.
    place = _place(path, patterns) if outcome.found or outcome.unread else ""
    relation = next((relations[key] for key in _file_keys(path) if key in relations), "")
    report.findings += [
        Finding(canaries[who].id, item.store, kind, place, relation, form, seen.at, seen.count)
        for (who, kind, form), seen in outcome.found.items()
    ]
    report.unread += [Unread(item.store, place, reason) for reason in outcome.unread]
    total = report.stores.setdefault(item.store, StoreTotal())
    total.n_files += len(item.paths)
    total.n_bytes += outcome.n_read
    total.n_unpacked += outcome.n_unpacked
    total.n_beheaded += outcome.n_beheaded


def _add_listing(listing: Listing, patterns: Patterns, report: Report) -> None:
    for store, path, reason in listing.unread:
        report.unread.append(Unread(store, _place(path, patterns), reason))
    for store, path, reason in listing.passed_over:
        report.passed_over.append(Unread(store, _place(path, patterns), reason))


def _place(path: Path, patterns: Patterns) -> str:
    """Return a path as it may be said: without the names that hold a canary."""
    names = ["…" if any(patterns.find(os.fsencode(name))) else name for name in path.parts]
    place = os.path.join(*names)
    return "…" if any(patterns.find(os.fsencode(place))) else place


def _file_keys(path: Path) -> tuple[str, str]:
    """Return how the catalogue names a relation's file: base/database/number or global/number."""
    name = path.name.partition("_")[0]
    return os.path.join(*path.parts[-3:-1], name), os.path.join(path.parts[-2], name)
