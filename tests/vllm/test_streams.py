"""Streams of /v1/answers with a real model behind: what is told, and how each ends that ends badly."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.bench.service import Api
from tests.vllm.server import VllmServer
from tests.vllm.world import QUESTION, Place, World

# The tiny model never ends by itself: a stream of so many tokens lasts for many seconds.
LONG = {"question": QUESTION, "stream": True, "max_tokens": 4000}


@contextmanager
def _stream(world: World, api: Api, body: dict[str, Any]) -> Iterator[httpx2.Response]:
    with (
        httpx2.Client(base_url=world.url, timeout=60) as client,
        client.stream("POST", "/v1/answers", json=body, headers=api.headers) as response,
    ):
        yield response


def _events(response: httpx2.Response) -> Iterator[tuple[str, Any]]:
    for event in httpx2.EventSource(response):
        yield event.event, json.loads(event.data)


def _all(world: World, api: Api, body: dict[str, Any]) -> list[tuple[str, Any]]:
    with _stream(world, api, body) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        return list(_events(response))


def test_a_stream_tells_what_was_found_the_text_its_cost_and_the_whole(world: World) -> None:
    events = _all(world, world.one.reader, {"question": QUESTION, "stream": True, "max_tokens": 64})

    names = [name for name, _ in events]
    assert names[0] == "retrieval" and names[-2:] == ["usage", "done"]
    assert set(names[1:-2]) <= {"token", "citation"} and "token" in names
    found = events[0][1]
    assert found["passages"][0]["document"]["id"] == world.one.document
    done = events[-1][1]
    assert done["usage"] == events[-2][1] and done["usage"]["completion_tokens"] == 64
    assert done["cut_short"] is True
    assert world.one.reader.call("GET", f"/v1/answers/{done['id']}")["answer"] == done["answer"]


def test_who_may_see_nothing_gets_an_abstention_and_no_token(world: World) -> None:
    events = _all(world, world.one.stranger, {"question": QUESTION, "stream": True})

    assert [name for name, _ in events] == ["retrieval", "usage", "done"]
    assert events[0][1] == {"passages": [], "left_out": 0}
    assert events[-1][1]["abstained"] is True


def test_leaving_stops_the_model_within_half_a_second_and_is_metered(
    world: World, vllm_server: VllmServer
) -> None:
    with _stream(world, world.one.reader, LONG) as response:
        # Kept: a generator that nobody holds closes the stream at once.
        events = _events(response)
        next(name for name, _ in events if name == "token")
        vllm_server.wait_for_running(1, limit_s=5)
    took = vllm_server.wait_for_running(0, limit_s=5)

    assert took < 1.5, f"the model worked on for {took:.2f} s"
    use = _last_use(world.one)
    assert use["outcome"] == "cancelled" and use["completion_tokens"] > 0


def test_a_revocation_stops_a_running_stream_within_two_seconds(
    world: World, vllm_server: VllmServer
) -> None:
    try:
        with _stream(world, world.one.reader, LONG) as response:
            events = _events(response)
            next(name for name, _ in events if name == "token")
            world.one.revoke()
            revoked_at = time.monotonic()
            rest = list(events)
            took = time.monotonic() - revoked_at
    finally:
        world.one.restore()

    done = rest[-1]
    assert done[0] == "done" and done[1]["withheld"] is True
    assert (done[1]["citations"], done[1]["value"]) == ([], None)
    assert took < 2.5, f"{took:.2f} s"
    vllm_server.wait_for_running(0, limit_s=5)


def test_somebody_elses_revocation_stops_nobody(world: World) -> None:
    with _stream(world, world.two.reader, LONG) as response:
        events = _events(response)
        next(name for name, _ in events if name == "token")
        world.one.revoke()
        world.one.restore()
        time.sleep(2)
        assert next(name for name, _ in events) == "token"


def test_a_connection_cut_in_the_middle_is_told_and_metered(world: World) -> None:
    with _stream(world, world.one.reader, LONG) as response:
        events = _events(response)
        next(name for name, _ in events if name == "token")
        world.relay.cut_now()
        rest = list(events)

    assert rest[-1][0] == "error"
    assert rest[-1][1]["code"] == "generation_unavailable"
    assert _last_use(world.one)["outcome"] == "failed"


def test_a_client_that_never_reads_holds_nothing(world: World, vllm_server: VllmServer) -> None:
    body = json.dumps({**LONG, "max_tokens": 1500}).encode()
    host, _, port = world.url.removeprefix("http://").partition(":")
    headers = "\r\n".join(f"{k}: {v}" for k, v in world.one.reader.headers.items())
    with socket.create_connection((host, int(port))) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        reader.sendall(
            f"POST /v1/answers HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n\r\n".encode()
            + body
        )
        vllm_server.wait_for_running(1, limit_s=10)
        vllm_server.wait_for_running(0, limit_s=60)
        assert _last_use(world.one)["outcome"] == "finished"


def test_many_streams_at_once_all_come_to_their_end(world: World) -> None:
    ends: list[tuple[str, str | None]] = []

    def one() -> None:
        events = _all(
            world, world.one.reader, {"question": QUESTION, "stream": True, "max_tokens": 256}
        )
        name, told = events[-1]
        ends.append((name, told.get("code")))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ends == [("done", None)] * 12


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"question": "x" * 1_000_000, "stream": True}, "invalid"),
        ({"question": QUESTION, "stream": True, "schema": {"type": "strange"}}, "schema_refused"),
        ({"question": QUESTION, "stream": True, "adapter": "adp_" + "0" * 32}, "adapter_not_found"),
        ({"question": QUESTION, "stream": True, "conversation": "cnv_" + "0" * 32}, "conversation_not_found"),
        ({"question": QUESTION, "stream": True, "retrieval": False}, "invalid"),
    ],
    ids=["long", "schema", "adapter", "conversation", "ungrounded"],
)  # fmt: skip
def test_what_is_wrong_before_it_begins_is_a_problem_and_no_stream(
    world: World, body: dict[str, Any], code: str
) -> None:
    answer = world.one.reader.send("POST", "/v1/answers", json=body)

    assert answer.status_code in {400, 404}
    assert answer.json()["code"] == code


def _last_use(place: Place) -> dict[str, Any]:
    """Return the place's latest use, as soon as it is closed."""
    for _ in range(50):
        uses = place.uses()
        if uses and uses[-1]["outcome"]:
            return uses[-1]
        with contextlib.suppress(InterruptedError):
            time.sleep(0.1)
    raise AssertionError("the use was not closed")
