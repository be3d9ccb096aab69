"""What A's waiting times tell of its neighbours and of what is hidden: `make bench-timing`.

Reports, for pairs of worlds, the area under the ROC curve: how often a search in the one takes longer
than a search in the other, .5 being as often as not (Hanley and McNeil, Radiology 1982). The first row
compares a world with itself: that far from .5 is the machine's own unrest. Asserts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from django.db import connection

from ambit.access.types import GrantSpec, PrincipalRef
from ambit.config.runtime.supervisor import Stack
from tests.cast import publish
from tests.database.private import PrivateDatabase
from tests.isolation.town import TOPICS, Town, copy, empty, fill, filling, neighbour, town_in

ROUNDS, SEARCHES, N_COPIES = 4, 60, 20_000
Times = dict[str, list[float]]


@pytest.fixture
def town(private: PrivateDatabase, embeddings: Stack) -> Iterator[Town]:
    """Return A beside an empty B."""
    with town_in(private) as town:
        yield town


@pytest.mark.timeout(1800)
def test_report_what_times_tell(
    private: PrivateDatabase, town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    document = neighbour(town)
    times: Times = {}
    with private.superuser() as superuser:
        _search(town, times, "warm")
        for _ in range(ROUNDS):
            _search(town, times, "alone")
            _search(town, times, "alone again")
            fill(superuser, town, document, n=N_COPIES)
            _search(town, times, f"beside {N_COPIES} near duplicates")
            with filling(private, town, document):
                _search(town, times, "beside a bulk ingest, on the same two cores")
            empty(superuser, town.cast.there)
            _search(town, times, "beside a tenant just erased")
            hidden = publish(
                town.cast.alice,
                town.cast.here,
                text="All about harbor dues.",
                grants=[GrantSpec(PrincipalRef(member_id=town.cast.alice.id), "owner")],
            )
            copy(superuser, hidden, n=N_COPIES)
            _search(town, times, f"beside {N_COPIES} hidden chunks of its own tenant")
            empty(superuser, town.cast.here, document=hidden)
            superuser.execute("VACUUM ANALYZE")
            document = neighbour(town)

    with capsys.disabled():
        print(f"\n{ROUNDS} rounds of {SEARCHES} hybrid searches through the API, k 10")
        for world, found in times.items():
            if world != "warm":
                auc = area_under_curve(times["alone"], found)
                print(f"{world:46} p50 {np.median(found):6.2f} ms   AUC against alone {auc:.3f}")


def area_under_curve(first: list[float], second: list[float]) -> float:
    """Return the share of pairs in which the second takes longer, equal ones counted half."""
    pairs = np.subtract.outer(np.array(second), np.array(first))
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def _search(town: Town, times: Times, world: str) -> None:
    connection.close()
    kept = times.setdefault(world, [])
    for n in range(SEARCHES + 5):
        body = {"query": TOPICS[n % len(TOPICS)], "k": 10}
        started = time.perf_counter()
        answer = town.cast.bob.post("/v1/search", body)
        spent = 1000 * (time.perf_counter() - started)
        assert answer.status_code == 200
        # The first of a connection plan their statements.
        if n >= 5:
            kept.append(spent)
