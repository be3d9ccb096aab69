"""Several replicas: which is asked, which is left alone, and when it is asked again."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import Counter

import pytest

from ambit.inference import replicas, vllm
from ambit.inference.replicas import in_order_for, replica_states
from ambit.inference.vllm import GenerationRefused, GenerationUnavailable
from tests.vllm.scripted import DONE, HOLD, STREAM, WHOLE, ScriptedServer, delta, event, refusal
from tests.vllm.serving import SALT, Served, answered, order, run, whole


def salts(n: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n)]


def first_and_second(servers: list[ScriptedServer]) -> list[ScriptedServer]:
    """Return the servers in the order in which SALT's tenant asks them."""
    by_url = {server.url: server for server in servers}
    return [by_url[replica.url] for replica in in_order_for(SALT)]


def states() -> list[str]:
    return [found.state for found in replica_states()]


def fail() -> str:
    with pytest.raises(GenerationUnavailable) as raised:
        answered()
    return raised.value.reason


def test_who_shares_a_salt_shares_a_replica(served: Served) -> None:
    servers = [served(WHOLE) for _ in range(3)]

    for _ in range(6):
        answered()

    assert sorted(len(server.requests) for server in servers) == [0, 0, 6]


def test_salts_are_spread_over_the_replicas(served: Served) -> None:
    for _ in range(3):
        served(WHOLE)

    counts = Counter(in_order_for(salt)[0].label for salt in salts(3000))

    assert set(counts) == {"1", "2", "3"}
    assert min(counts.values()) > 900


def test_a_replica_that_goes_moves_no_other_replicas_salts(served: Served) -> None:
    servers = [served(WHOLE) for _ in range(3)]
    before = {salt: in_order_for(salt) for salt in salts(300)}

    served.names(*servers[1:])

    for salt, ranked in before.items():
        stayed = [replica.url for replica in ranked if replica.url != servers[0].url]
        assert [replica.url for replica in in_order_for(salt)] == stayed


@pytest.mark.parametrize(
    "first",
    [
        (refusal(503),),
        (refusal(502),),
        (STREAM, event(error={"message": "full", "code": 503}), DONE),
        (),
    ],
)
def test_before_the_first_word_another_replica_is_asked(
    served: Served, first: tuple[bytes, ...]
) -> None:
    servers = [served(WHOLE), served(WHOLE)]
    mine, other = first_and_second(servers)
    mine.scripts = [first]

    completion = answered()

    assert completion.text == "five days"
    assert (len(mine.requests), len(other.requests)) == (1, 1)


def test_after_the_first_word_no_other_replica_is_asked(served: Served) -> None:
    servers = [served((STREAM, delta("five"))), served((STREAM, delta("five")))]

    assert fail() == "cut_short"
    assert sum(len(server.requests) for server in servers) == 1


def test_two_replicas_are_asked_at_most(served: Served) -> None:
    servers = [served((refusal(503),)) for _ in range(4)]

    assert fail() == "busy"
    assert sorted(len(server.requests) for server in servers) == [0, 0, 1, 1]


@pytest.mark.parametrize("failing", [(), (refusal(500),), (refusal(502),), (STREAM, delta("five"))])
def test_a_replica_that_fails_again_and_again_is_left_alone(
    served: Served, caplog: pytest.LogCaptureFixture, failing: tuple[bytes, ...]
) -> None:
    server = served(failing)
    while states() == ["closed"]:
        fail()
    n_requests = len(server.requests)

    assert n_requests in {3, 4}
    assert fail() == "unreachable"
    assert len(server.requests) == n_requests
    assert [r.message for r in caplog.records].count("generation.circuit_opened") == 1
    assert server.url not in caplog.text


@pytest.mark.parametrize("answer", [(refusal(503),), (refusal(400),), (refusal(401),)])
def test_a_busy_replica_and_a_refused_request_are_no_failures(
    served: Served, answer: tuple[bytes, ...]
) -> None:
    server = served(answer)

    for _ in range(5):
        with pytest.raises((GenerationUnavailable, GenerationRefused)):
            answered()

    assert states() == ["closed"]
    assert len(server.requests) >= 5


def test_a_tenant_whose_replica_fails_is_answered_by_another(served: Served) -> None:
    servers = [served(WHOLE), served(WHOLE)]
    mine, other = first_and_second(servers)
    mine.scripts = [()]

    for _ in range(8):
        assert answered().text == "five days"

    assert len(mine.requests) == replicas.FAILURES_TO_OPEN
    assert len(other.requests) == 8
    assert sorted(states()) == ["closed", "open"]


def test_a_whole_answer_makes_failures_forgotten(served: Served) -> None:
    served((STREAM, delta("five")), (STREAM, delta("five")), WHOLE, (STREAM, delta("five")))

    assert [fail(), fail(), answered().text, fail(), fail()] == [
        *("cut_short", "cut_short", "five days", "cut_short", "cut_short")
    ]
    assert states() == ["closed"]


@pytest.fixture
def opened(served: Served) -> ScriptedServer:
    server = served(())
    while states() == ["closed"]:
        fail()
    server.requests.clear()
    return server


def test_after_a_while_one_request_at_a_time_finds_out(
    opened: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.scripts = [(0.3, *WHOLE)]
    monkeypatch.setattr(replicas, "OPEN_S", 0.0)

    async def at_once() -> list[object]:
        tries = [whole(order()) for _ in range(4)]
        return await asyncio.gather(*tries, return_exceptions=True)

    outcomes = run(at_once())

    assert [type(outcome) for outcome in outcomes].count(GenerationUnavailable) == 3
    assert len(opened.requests) == 1
    assert states() == ["closed"]
    assert answered().text == "five days"


def test_a_replica_that_still_fails_is_left_alone_again(
    opened: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "OPEN_S", 0.05)
    run(asyncio.sleep(0.1))
    assert states() == ["half_open"]

    fail()
    monkeypatch.setattr(replicas, "OPEN_S", 60)

    assert len(opened.requests) in {1, 2}
    assert states() == ["open"]


def test_who_leaves_while_finding_out_keeps_nobody_else_from_it(
    opened: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.scripts = [(HOLD,), WHOLE]
    monkeypatch.setattr(replicas, "OPEN_S", 0.0)

    async def left() -> None:
        task = asyncio.create_task(whole(order()))
        while not opened.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(left())

    assert answered().text == "five days"
    assert states() == ["closed"]


def test_states_name_places_and_no_address(served: Served) -> None:
    first, second = served(WHOLE), served(WHOLE)

    found = replica_states()

    assert [(state.url_label, state.state) for state in found] == [("1", "closed"), ("2", "closed")]
    assert first.url not in repr(found) + repr(in_order_for(secrets.token_hex(32)))
    assert second.url not in repr(found)


def test_the_log_of_a_retry_names_no_address_and_no_key(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=vllm.logger.name)
    server = served((refusal(503),))

    fail()

    logged = caplog.text + str([record.__dict__ for record in caplog.records])
    assert "generation.unavailable" in logged
    assert server.url not in logged
    assert "k-5d1c" not in logged
