from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

import pytest

from ambit.inference import lanes as module
from ambit.inference.lanes import Lanes, LanesFull


class Gate:
    """Work that waits until it is let through, and remembers what came through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.done: list[str] = []

    def run(self, piece: str) -> str:
        self.entered.release()
        if piece.startswith("bulk"):
            self.open.wait(30)
        if piece == "bad":
            raise ValueError
        self.done.append(piece)
        return piece.upper()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def lanes(gate: Gate) -> Iterator[Lanes[str, str]]:
    made: Lanes[str, str] = Lanes(run=gate.run, bulk_lanes=1)
    yield made
    gate.open.set()
    made.close()


def results(futures: list[Future[str]]) -> list[str]:
    return [future.result(timeout=30) for future in futures]


def test_a_query_does_not_wait_for_bulk_that_runs(lanes: Lanes[str, str], gate: Gate) -> None:
    bulk = lanes.submit(pieces=["bulk 1", "bulk 2"], priority="bulk")
    gate.entered.acquire(timeout=30)

    asked = lanes.submit(pieces=["a", "b", "c"], priority="query")

    assert results(asked) == ["A", "B", "C"]
    assert not any(future.done() for future in bulk)


def test_bulk_never_takes_the_lane_of_queries(lanes: Lanes[str, str], gate: Gate) -> None:
    bulk = lanes.submit(pieces=["bulk 1", "bulk 2"], priority="bulk")

    assert gate.entered.acquire(timeout=30)
    assert not gate.entered.acquire(timeout=0.2)
    gate.open.set()
    assert results(bulk) == ["BULK 1", "BULK 2"]


def test_a_small_request_goes_before_a_large_one_that_waits(
    lanes: Lanes[str, str], gate: Gate
) -> None:
    lanes.submit(pieces=["bulk first"], priority="bulk")
    gate.entered.acquire(timeout=30)
    large = lanes.submit(pieces=["bulk l1", "bulk l2"], priority="bulk")
    small = lanes.submit(pieces=["bulk small"], priority="bulk")

    gate.open.set()
    wait([*large, *small], timeout=30)

    assert gate.done == ["bulk first", "bulk small", "bulk l1", "bulk l2"]


def test_work_that_nobody_waits_for_any_more_is_not_done(
    lanes: Lanes[str, str], gate: Gate
) -> None:
    first, second = lanes.submit(pieces=["bulk 1", "bulk 2"], priority="bulk")
    gate.entered.acquire(timeout=30)

    assert second.cancel()
    (last,) = lanes.submit(pieces=["bulk 3"], priority="bulk")
    gate.open.set()

    assert results([first, last]) == ["BULK 1", "BULK 3"]
    assert gate.done == ["bulk 1", "bulk 3"]


def test_a_failure_reaches_who_waits_and_the_lane_goes_on(lanes: Lanes[str, str]) -> None:
    bad, good = lanes.submit(pieces=["bad", "good"], priority="query")

    with pytest.raises(ValueError):
        bad.result(timeout=30)
    assert good.result(timeout=30) == "GOOD"


def test_too_much_work_is_refused_whole(
    lanes: Lanes[str, str], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_PIECES", 2)

    with pytest.raises(LanesFull):
        lanes.submit(pieces=["bulk 1", "bulk 2", "bulk 3"], priority="bulk")

    gate.open.set()
    assert results(lanes.submit(pieces=["bulk 4"], priority="bulk")) == ["BULK 4"]
    assert gate.done == ["bulk 4"]


def test_closing_drops_what_waits(gate: Gate) -> None:
    lanes: Lanes[str, str] = Lanes(run=gate.run, bulk_lanes=1)
    running, waiting = lanes.submit(pieces=["bulk 1", "bulk 2"], priority="bulk")
    gate.entered.acquire(timeout=30)

    threading.Timer(0.1, gate.open.set).start()
    lanes.close()

    assert running.result(timeout=30) == "BULK 1"
    assert waiting.cancelled()
