"""The official OpenAI client, doing what people do with it every day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.vllm.server import VllmServer
from tests.vllm.world import QUESTION, Place, World

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


def _client(world: World, place: Place, member: str, **values: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{world.url}/v1",
        api_key=place.tenant.key,
        default_headers={"Ambit-Member": member},
        max_retries=0,
        **values,
    )


@pytest.fixture
def client(world: World) -> Iterator[openai.OpenAI]:
    with _client(world, world.one, world.one.reader_id) as client:
        yield client


def test_a_completion_has_text_usage_and_citations(client: openai.OpenAI, world: World) -> None:
    made = client.chat.completions.create(model="ambit", messages=ASKED, max_tokens=40)

    choice = made.choices[0]
    assert made.object == "chat.completion"
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason == "length"
    assert made.usage is not None and made.usage.completion_tokens == 40
    assert made.usage.total_tokens == made.usage.prompt_tokens + 40
    extension = (made.model_extra or {})["ambit"]
    assert extension["answer"].startswith("ans_")
    assert set(extension) >= {"abstained", "citations", "groundedness", "unsupported"}
    kept = world.one.reader.call("GET", f"/v1/answers/{extension['answer']}")
    assert kept["answer"] == choice.message.content


def test_a_stream_gives_the_text_in_pieces_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="ambit",
        messages=ASKED,
        max_tokens=64,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text.strip()
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 64
    assert len({c.id for c in chunks}) == 1


def test_the_async_client_may_leave_early(world: World, vllm_server: VllmServer) -> None:
    async def leave() -> str:
        client = openai.AsyncOpenAI(
            base_url=f"{world.url}/v1",
            api_key=world.one.tenant.key,
            default_headers={"Ambit-Member": world.one.reader_id},
            max_retries=0,
        )
        async with client:
            stream = await client.chat.completions.create(
                model="ambit", messages=ASKED, max_tokens=4000, stream=True
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    await stream.close()
                    return chunk.choices[0].delta.content
        return ""

    assert asyncio.run(leave())
    assert vllm_server.wait_for_running(0, limit_s=5) < 5


def test_earlier_messages_and_instructions_are_taken(client: openai.OpenAI, world: World) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Answer like a harbour pilot."},
        {"role": "user", "content": "What is known about the Quay Lane depot?"},
        {"role": "assistant", "content": "A secret that was revoked since."},
        {"role": "user", "content": [{"type": "text", "text": "And when does the shift begin?"}]},
    ]
    client.chat.completions.create(model="ambit", messages=messages, max_tokens=8)

    sent = json.dumps(world.sent()[-1]["messages"])
    assert "harbour pilot" in sent
    assert "secret" not in sent


def test_a_json_schema_is_kept(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"shift": {"enum": ["day", "night"]}, "known": {"type": "boolean"}},
        "required": ["shift", "known"],
        "additionalProperties": False,
    }
    made = client.chat.completions.create(
        model="ambit",
        messages=ASKED,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )

    extension = (made.model_extra or {})["ambit"]
    content = made.choices[0].message.content or ""
    if not extension["abstained"]:
        assert set(json.loads(content)) == {"shift", "known"}


def test_models_are_listed_and_looked_up(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()][0] == "ambit"
    assert client.models.retrieve("ambit").owned_by == "ambit"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-99")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "not_supported"),
        ({"n": 2}, "invalid"),
        ({"logprobs": True}, "not_supported"),
        ({"extra_body": {"guided_choice": ["a"]}}, "unknown_field"),
        ({"max_tokens": 100_000}, "invalid"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    client: openai.OpenAI, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="ambit", messages=ASKED, **more)
    assert refused.value.code == code
    assert refused.value.type == "invalid_request_error"


def test_an_unknown_model_a_wrong_key_and_no_member_are_told_apart(
    client: openai.OpenAI, world: World
) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="../adapters/t1", messages=ASKED)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="ambit_svc_no").chat.completions.create(
            model="ambit", messages=ASKED
        )
    nobody = openai.OpenAI(base_url=f"{world.url}/v1", api_key=world.one.tenant.key, max_retries=0)
    with nobody, pytest.raises(openai.BadRequestError) as refused:
        nobody.chat.completions.create(model="ambit", messages=ASKED)
    assert refused.value.code == "member_required"


def test_who_may_see_nothing_is_told_so_and_no_model_is_asked(world: World) -> None:
    before = len(world.sent())
    with _client(world, world.one, world.one.stranger_id) as client:
        whole = client.chat.completions.create(model="ambit", messages=ASKED)
        stream = client.chat.completions.create(model="ambit", messages=ASKED, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    assert (whole.model_extra or {})["ambit"]["abstained"] is True
    assert text == whole.choices[0].message.content
    assert len(world.sent()) == before
