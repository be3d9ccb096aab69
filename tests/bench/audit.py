"""What the audit trail costs: `python -m tests.bench.audit`. Reports and asserts nothing.

Events written one by one, each in a transaction as an effect's is, while they are numbered, signed and copied beside;
and searches with and without their event, in turns, through the product's own code on one connection.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from uuid import UUID, uuid4

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()


from ambit.access.clearance import clearance_for  # noqa: E402
from ambit.audit.flow import keep_trail  # noqa: E402
from ambit.corpus.search import search  # noqa: E402
from tenants.audit import record  # noqa: E402
from tests.audit.prove import outside  # noqa: E402
from tests.audit.trails import add_events  # noqa: E402
from tests.database.private import PrivateDatabase  # noqa: E402
from tests.database.worlds import (  # noqa: E402
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)

WRITERS, SECONDS = 2, 15
N_WAITING = 50_000
N_PASSAGES, PER_DOCUMENT, N_SEARCHES = 20_000, 500, 400


def main() -> None:
    """Measure and print."""
    private = PrivateDatabase()
    try:
        with private.in_use(), outside():
            _numbering()
            _sustained(private)
            _searching()
    finally:
        private.stop()


def _numbering() -> None:
    tenants = [make_tenant() for _ in range(5)]
    for tenant_id in tenants:
        add_events(tenant_id, N_WAITING // 5)
    started = time.monotonic()
    done = keep_trail()
    seconds = time.monotonic() - started
    print(
        f"numbered, signed and copied: {done.n_events / seconds:,.0f} events/s of {done.n_events:,} waiting"
    )


def _sustained(private: PrivateDatabase) -> None:
    tenants, ends = [make_tenant() for _ in range(WRITERS)], time.monotonic() + SECONDS
    written = [0] * WRITERS

    def write(number: int) -> None:
        with private.in_use():
            while time.monotonic() < ends:
                with working(tenants[number]):
                    record("search", document_ids=[uuid4()] * 10, chunk_ids=[uuid4()] * 10)
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    n_signed = 0
    while time.monotonic() < ends:
        n_signed += keep_trail().n_events
        time.sleep(1)
    for writer in writers:
        writer.join()
    n_signed += keep_trail().n_events
    seconds = time.monotonic() - ends + SECONDS
    print(
        f"sustained by {WRITERS} writers, one event a transaction, all signed:"
        f" {n_signed / seconds:,.0f} events/s ({sum(written):,} in {seconds:.1f} s)"
    )


def _searching() -> None:
    chance = random.Random(7)
    tenant_id, member_id = _filled()

    def ask(*, audited: bool) -> float:
        started = time.perf_counter()
        with working(tenant_id, member_id=member_id):
            found = search(
                clearance=clearance_for(member_id=member_id),
                query=f"pressure {chance.randrange(1000)}",
                embedding=unit(chance.randrange(384)).tolist(),
                k=10,
            )
            if audited:
                record(
                    "search",
                    document_ids=sorted({p.document_id for p in found}),
                    chunk_ids=[p.chunk_id for p in found],
                )
        return 1000 * (time.perf_counter() - started)

    for _ in range(20):
        ask(audited=True)
    pairs = [(ask(audited=False), ask(audited=True)) for _ in range(N_SEARCHES)]
    without, audited = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"search of {N_PASSAGES:,} passages in one process: {without:.2f} ms, with its event {audited:.2f} ms"
        f" ({audited / without - 1:+.1%})"
    )


def _filled() -> tuple[UUID, UUID]:
    tenant_id = make_tenant()
    with working(tenant_id):
        member_id = make_member("reader")
        collection_id = make_collection(grant("owner", member=member_id))
    for start in range(0, N_PASSAGES, PER_DOCUMENT):
        passages = [
            Passage(
                f"The pressure of pump {n} stays between {n % 17} and {n % 31} bar.", unit(n % 384)
            )
            for n in range(start, start + PER_DOCUMENT)
        ]
        publish(tenant_id=tenant_id, by=member_id, collection_id=collection_id, passages=passages)
    return tenant_id, member_id


if __name__ == "__main__":
    main()
