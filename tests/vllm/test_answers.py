"""The whole way of an answer through vLLM: upload, ask over HTTP, read what comes back and what was sent."""

from __future__ import annotations

import json

from tests.vllm.server import MODEL
from tests.vllm.world import QUESTION, World


def test_an_answer_is_written_by_the_model_and_metered(world: World) -> None:
    answer = world.one.reader.call("POST", "/v1/answers", json={"question": QUESTION})

    assert answer["generator"] == "vllm"
    assert answer["usage"]["prompt_tokens"] > 100
    assert answer["usage"]["completion_tokens"] > 0


def test_without_a_permitted_passage_no_model_is_asked(world: World) -> None:
    before = len(world.sent())

    answer = world.one.stranger.call("POST", "/v1/answers", json={"question": QUESTION})

    assert answer["abstained"] is True
    assert answer["citations"] == []
    assert len(world.sent()) == before


def test_two_tenants_with_the_same_text_never_share_a_cached_prompt(world: World) -> None:
    # Other tests ask as the second tenant too: with a new epoch nothing is cached for it yet.
    world.two.revoke()
    world.two.restore()
    before = len(world.sent())
    world.one.reader.call("POST", "/v1/answers", json={"question": QUESTION})
    again = world.one.reader.call("POST", "/v1/answers", json={"question": QUESTION})
    other = world.two.reader.call("POST", "/v1/answers", json={"question": QUESTION})
    salts = {body["cache_salt"] for body in world.sent()[before:]}

    assert again["usage"]["cached_tokens"] > 0
    assert other["usage"]["cached_tokens"] == 0
    assert len(salts) == 2


def test_what_is_sent_names_no_tenant_member_or_document(world: World) -> None:
    world.one.reader.call("POST", "/v1/answers", json={"question": QUESTION})

    body = world.sent()[-1]
    text = json.dumps(body)

    assert body["model"] == MODEL
    assert not any(prefix in text for prefix in ("ten_", "mem_", "doc_", "chk_"))
