"""Streamed answers and chat completions in this process, where answers are quoted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from ambit.answers.types import Written
from ambit.api.streams import Failed, told
from ambit.config.runtime.supervisor import Stack
from tests.cast import Cast, Person, publish

QUESTION = {"question": "How many days of annual leave do employees get?"}
CHAT = {"model": "ambit", "messages": [{"role": "user", "content": QUESTION["question"]}]}


def _streamed(person: Person, path: str, body: dict[str, Any], **headers: str) -> Any:
    """Return the response of a stream, and all its bytes."""

    async def read() -> Any:
        response: Any = await AsyncClient().post(
            path,
            json.dumps(body | {"stream": True}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {person.key}", **headers},
        )
        if not response.streaming:
            return response, response.content
        return response, b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(read)()


def _events(content: bytes) -> list[tuple[str, Any]]:
    blocks = [b for b in content.decode().split("\n\n") if b and not b.startswith(":")]
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(f.get("event", ""), json.loads(f["data"])) for f in fields if f["data"] != "[DONE]"]


def test_a_quoted_answer_streams_too(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)

    response, content = _streamed(cast.bob, "/v1/answers", QUESTION)
    events = _events(content)

    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["X-Accel-Buffering"] == "no"
    names = [name for name, _ in events]
    assert names[0] == "retrieval" and names[-2:] == ["usage", "done"]
    done = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "token") == done["answer"]
    markers = [data["marker"] for name, data in events if name == "citation"]
    assert markers == [c["marker"] for c in done["citations"]] == [1]
    assert cast.bob.get(f"/v1/answers/{done['id']}").json() == done


def test_who_may_see_nothing_is_streamed_an_abstention(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)

    for person in (cast.carol, cast.mallory):
        _, content = _streamed(person, "/v1/answers", QUESTION)
        events = _events(content)
        assert [name for name, _ in events] == ["retrieval", "usage", "done"]
        assert events[0][1]["passages"] == []
        assert "27 days" not in content.decode()


def test_a_stream_repeated_under_its_key_tells_the_answer_made(
    cast: Cast, embeddings: Stack
) -> None:
    publish(cast.alice, cast.here)

    _, first = _streamed(cast.bob, "/v1/answers", QUESTION, **{"Idempotency-Key": "s"})
    response, again = _streamed(cast.bob, "/v1/answers", QUESTION, **{"Idempotency-Key": "s"})

    assert response.headers["Idempotency-Replayed"] == "true"
    assert _events(again) == _events(first)[-1:]


def test_a_stream_that_may_not_begin_is_a_problem(cast: Cast) -> None:
    response, content = _streamed(cast.bob, "/v1/answers", {"question": ""})

    assert response.status_code == 400
    assert json.loads(content)["code"] == "invalid"


def test_a_chat_completion_is_the_answer(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)

    whole = cast.bob.post("/v1/chat/completions", CHAT).json()
    _, content = _streamed(cast.bob, "/v1/chat/completions", CHAT)
    chunks = [data for _, data in _events(content)]

    text = whole["choices"][0]["message"]["content"]
    assert "27 days" in text and "[1]" in text
    assert whole["ambit"]["citations"][0]["quote"].startswith("Employees get 27 days")
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == text
    assert chunks[-1]["ambit"]["citations"] == whole["ambit"]["citations"]
    assert content.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"tools": [{"type": "function"}]}, 400, "not_supported"),
        ({"model": "gpt-4o"}, 404, "model_not_found"),
        ({"model": "adp_" + "0" * 32}, 400, "model_needed"),
        ({"messages": []}, 400, "invalid"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "invalid"),
        ({"n": 2}, 400, "invalid"),
        ({"strange": 1}, 400, "unknown_field"),
        ({"response_format": {"type": "json_object"}}, 400, "model_needed"),
    ],
    ids=["tools", "model", "adapter", "none", "image", "tool", "assistant", "n", "field", "json"],
)
def test_a_chat_that_is_not_taken_is_refused_in_both_shapes(
    cast: Cast, more: dict[str, Any], status: int, code: str
) -> None:
    response = cast.bob.post("/v1/chat/completions", CHAT | more)

    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert body["error"]["code"] == code
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].endswith(".")


def test_models_are_what_the_member_may_ask(cast: Cast) -> None:
    assert [m["id"] for m in cast.bob.get("/v1/models").json()["data"]] == ["ambit"]
    assert cast.bob.get("/v1/models/ambit").json()["object"] == "model"
    assert cast.bob.get("/v1/models/other").json()["error"]["code"] == "model_not_found"


def test_leaving_a_stream_ends_the_work_and_a_slow_reader_is_given_up(settings: Any) -> None:
    settings.AMBIT_STREAM_READ_S = 0
    cancelled: list[bool] = []

    async def endless(tell: Any) -> None:
        tell(Written("a"))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def leave() -> None:
        steps = told(endless)
        assert await anext(steps) == Written("a")
        await steps.aclose()  # type: ignore[attr-defined]  # a generator

    async def never_read() -> None:
        async def quick(tell: Any) -> int:
            tell(Written("a"))
            return 1

        async for _ in told(quick):
            await asyncio.sleep(60)

    asyncio.run(leave())
    assert cancelled == [True]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(never_read())


def test_what_fails_while_it_is_told_is_told_last() -> None:
    async def fails(tell: Any) -> None:
        tell(Written("a"))
        raise ValueError("words that may quote")

    async def read() -> list[Any]:
        return [step async for step in told(fails)]

    steps = asyncio.run(read())
    assert steps[0] == Written("a")
    assert isinstance(steps[1], Failed) and isinstance(steps[1].error, ValueError)
