"""What a scrub costs its neighbours: `python -m tests.bench.scrub [--chunks N]`. Reports and asserts nothing.

A tenant with a vector graph and another without, in one table; one searches all the while through the product's own
code, the other's document is destroyed and scrubbed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.conf import settings  # noqa: E402 - once Django is set up
from django.db import transaction  # noqa: E402

from ambit.access.clearance import clearance_for  # noqa: E402
from ambit.corpus import graphs  # noqa: E402
from ambit.corpus.search import search  # noqa: E402
from ambit.erasure.registry import REWRITTEN  # noqa: E402
from ambit.scrub.flow import scrub  # noqa: E402
from ambit.scrub.pages import Mark, mark_pages  # noqa: E402
from tests.database.private import PrivateDatabase  # noqa: E402
from tests.database.worlds import (  # noqa: E402
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    random_vectors,
    working,
)

PER_DOCUMENT = 500


@dataclass
class Times:
    """Milliseconds of searches, and when each ended."""

    ended: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def between(self, begin: float, end: float) -> str:
        """Describe the searches that ended in a span."""
        pairs = zip(self.ended, self.milliseconds, strict=True)
        found = sorted(ms for at, ms in pairs if begin <= at <= end)
        if len(found) < 2:
            return f"{len(found)} searches"
        p50, p95 = statistics.median(found), found[int(len(found) * 0.95)]
        return (
            f"{len(found)} searches, p50 {p50:.0f} ms, p95 {p95:.0f} ms, longest {found[-1]:.0f} ms"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000)
    n_chunks = parser.parse_args().chunks
    private = PrivateDatabase()
    try:
        with private.in_use():
            settings.AMBIT_GRAPH_MIN_ROWS = n_chunks // 2
            tenant_id, member_id = _fill(n_chunks)
            began = time.monotonic()
            graphs.arrange_graphs()
            print(f"{n_chunks} chunks; their graph took {time.monotonic() - began:.1f} s")
            _scrub(private, tenant_id, member_id, aside=False)
            graphs.arrange_graphs()
            _scrub(private, tenant_id, member_id, aside=True)
    finally:
        private.stop()


def _fill(n_chunks: int) -> tuple[UUID, UUID]:
    tenant_id = make_tenant()
    with working(tenant_id):
        member_id = make_member(role="admin")
        collection_id = make_collection(grant("owner", member=member_id))
    vectors = iter(random_vectors(n_chunks, seed=1))
    for number in range(n_chunks // PER_DOCUMENT):
        passages = [Passage(f"passage {number} {n}", next(vectors)) for n in range(PER_DOCUMENT)]
        publish(tenant_id=tenant_id, by=member_id, collection_id=collection_id, passages=passages)
    return tenant_id, member_id


def _scrub(private: PrivateDatabase, tenant_id: UUID, member_id: UUID, *, aside: bool) -> None:
    mark = _mark()
    with _searching(private, tenant_id, member_id) as times:
        time.sleep(3)
        began = time.monotonic()
        scrub(mark, make_way=_set_aside if aside else lambda _table: None)
        scrubbed = time.monotonic()
        if aside:
            graphs.arrange_graphs()
        built = time.monotonic()
        time.sleep(1)
    words = "graph set aside" if aside else "graph built with its table"
    print(f"{words}: scrubbed in {scrubbed - began:.1f} s")
    print(f"  before:     {times.between(0, began)}")
    print(f"  meanwhile:  {times.between(began, scrubbed)}")
    if aside:
        print(
            f"  until the graph was built again, {built - scrubbed:.1f} s: {times.between(scrubbed, built)}"
        )


def _set_aside(table: str) -> None:
    if table == graphs.TABLE:
        graphs.set_aside()


def _mark() -> Mark:
    with transaction.atomic():
        return mark_pages(REWRITTEN)


@contextmanager
def _searching(private: PrivateDatabase, tenant_id: UUID, member_id: UUID) -> Iterator[Times]:
    times, over = Times(), threading.Event()
    questions = random_vectors(50, seed=2).tolist()

    def ask() -> None:
        with private.in_use():
            while not over.is_set():
                began = time.monotonic()
                with working(tenant_id):
                    clearance = clearance_for(member_id=member_id)
                    question = questions[len(times.ended) % len(questions)]
                    search(clearance=clearance, query="", embedding=question, k=10, mode="vector")
                times.ended.append(time.monotonic())
                times.milliseconds.append((times.ended[-1] - began) * 1000)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
