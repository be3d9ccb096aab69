"""A question is embedded while it is read: once, within a query's time, and for nobody who has left."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import pytest

from ambit.api import asking
from ambit.inference.embedding import EmbeddingUnavailable
from ambit.inference.types import Vector

A, B = UUID(int=1), UUID(int=2)


class Service:
    """Notes what it is asked, and answers once it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self.fault: Exception | None = None

    def __call__(self, text: str) -> Vector:
        self.asked.append(text)
        self.let_go.wait(10)
        if self.fault is not None:
            raise self.fault
        return np.full(1, len(text), np.float32)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return what embeds, one text at a time."""
    service = Service()
    monkeypatch.setattr(asking, "embed_query", service)
    monkeypatch.setattr(asking, "EMBEDDED_AT_ONCE", 1)
    # More threads than places: it is the places that hold back.
    monkeypatch.setattr(asking, "_EMBEDDING", ThreadPoolExecutor(max_workers=4))
    return service


def test_what_was_begun_is_what_is_given(service: Service) -> None:
    async def of() -> Vector:
        vector = asking._Vector("leave", of=A)
        service.let_go.set()
        return await vector.of("leave")

    assert asyncio.run(of()).tolist() == [5]
    assert service.asked == ["leave"]


@pytest.mark.parametrize("ahead", [None, "and Bob?"])
def test_another_text_is_embedded_anew(service: Service, ahead: str | None) -> None:
    service.let_go.set()

    async def of() -> Vector:
        return await asking._Vector(ahead, of=A).of("How much leave has Bob?")

    assert asyncio.run(of()).tolist() == [23]
    assert service.asked[-1] == "How much leave has Bob?"


def test_who_waits_too_long_for_a_thread_too_is_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "QUERY_DEADLINE_S", 0.1)

    async def of() -> None:
        first, second = asking._Vector("first", of=A), asking._Vector("second", of=A)
        for vector, text in ((first, "first"), (second, "second")):
            with pytest.raises(EmbeddingUnavailable) as raised:
                await vector.of(text)
            assert raised.value.reason == "slow"
        service.let_go.set()

    asyncio.run(of())
    assert "second" not in service.asked, "who was given up in the queue is not embedded"


def test_for_who_has_left_nothing_is_begun_and_no_failure_told(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault = EmbeddingUnavailable(reason="slow")

    async def of() -> None:
        under_way, queued = asking._Vector("under way", of=A), asking._Vector("queued", of=A)
        while not service.asked:
            await asyncio.sleep(0.01)
        queued.forget()
        service.let_go.set()
        # Its failure comes before what is begun after it.
        with pytest.raises(EmbeddingUnavailable):
            await asking._Vector(None, of=A).of("last")
        del under_way
        gc.collect()

    with caplog.at_level(logging.ERROR):
        asyncio.run(of())
    assert service.asked == ["under way", "last"]
    assert not caplog.records


def test_one_tenants_questions_do_not_keep_anothers_waiting(service: Service) -> None:
    async def of() -> None:
        many = [asking._Vector(f"a{n}", of=A) for n in range(20)]
        while not service.asked:
            await asyncio.sleep(0.01)
        one = asking._Vector("b", of=B)
        await asyncio.sleep(0)
        service.let_go.set()
        await one.of("b")
        for n, vector in enumerate(many):
            await vector.of(f"a{n}")

    asyncio.run(of())
    # After the one that had the place, and at most one more.
    assert service.asked.index("b") <= 2
    assert len(service.asked) == 21


def test_who_gave_up_has_the_place_until_the_thread_is_done(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "QUERY_DEADLINE_S", 0.1)

    async def of() -> None:
        with pytest.raises(EmbeddingUnavailable):
            await asking._Vector("given up", of=A).of("given up")
        waiting = asking._Vector("waiting", of=B)
        await asyncio.sleep(0.1)
        assert service.asked == ["given up"]
        service.let_go.set()
        await waiting.of("waiting")

    asyncio.run(of())
    assert service.asked == ["given up", "waiting"]
