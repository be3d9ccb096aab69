"""Completions under way on a real server: what they leave behind, and what may be asked for."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from uuid import uuid4

import pytest

from ambit.inference.caches import CacheReset, reset_prefix_caches
from ambit.inference.vllm import (
    Generation,
    GenerationRefused,
    TokenUsage,
    generating,
    salt_for,
)
from tests.vllm.server import Relay, VllmServer
from tests.vllm.serving import order, run, whole
from tests.vllm.test_client_against_vllm import ENDLESS, SECRET_WORD, ask, new_salt, until


def test_who_leaves_frees_the_server_and_keeps_no_connection(
    relay: Relay, configured: VllmServer
) -> None:
    begun: list[Generation] = []

    async def read() -> None:
        async with generating(order(max_tokens=ENDLESS), deadline_s=120) as generation:
            begun.append(generation)
            async for _ in generation:
                pass

    async def cancelled() -> float:
        task = asyncio.create_task(read())
        await asyncio.to_thread(configured.wait_for_running, 1, limit_s=60)
        await until(lambda: begun and begun[-1].usage.completion_tokens > 20, limit_s=60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        freed_s = await asyncio.to_thread(configured.wait_for_running, 0, limit_s=10)
        await until(lambda: relay.open_connections == 0)
        return freed_s

    # The best of three: what else this machine does is not measured. A whole generation takes minutes.
    assert min(run(cancelled()) for _ in range(3)) <= 0.5
    for generation in begun:
        usage = generation.usage
        assert usage.prompt_tokens > 0
        assert 20 < usage.completion_tokens < ENDLESS
        assert not usage.exact


def test_what_is_known_meanwhile_is_never_more_than_what_was_spent(
    configured: VllmServer,
) -> None:
    """Compare with the server's own counters: what is cancelled lacks what it had not sent yet."""

    async def left() -> TokenUsage:
        async with generating(order(max_tokens=ENDLESS), deadline_s=120) as generation:
            async for _ in generation:
                if generation.usage.completion_tokens > 50:
                    break
        return generation.usage

    spent_before = configured.metric("vllm:generation_tokens_total")
    usage = run(left())
    configured.wait_for_running(0, limit_s=10)
    run(asyncio.sleep(0.5))
    spent = configured.metric("vllm:generation_tokens_total") - spent_before

    # What it wrote until it noticed, and had not sent: less than a second's worth.
    assert usage.completion_tokens <= spent <= usage.completion_tokens + 200


@pytest.mark.parametrize("n", range(3))
def test_a_schema_is_followed(configured: VllmServer, n: int) -> None:
    schema = {
        "type": "object",
        "properties": {"supported": {"type": "boolean"}, "n": {"enum": [1, 2, 3]}},
        "required": ["supported", "n"],
        "additionalProperties": False,
    }

    text, generation = run(whole(order(schema=schema, cache_salt=new_salt(), max_tokens=64)))

    assert set(json.loads(text)) == {"supported", "n"}
    assert not re.search(r"\s", text), "the server writes no loose whitespace"
    assert generation.finish_reason == "stop"
    assert generation.usage.exact


def test_a_schema_that_is_none_is_refused_and_the_server_lives(configured: VllmServer) -> None:
    with pytest.raises(GenerationRefused) as raised:
        run(whole(order(schema={"type": "nonsense", "title": SECRET_WORD})))

    assert (raised.value.reason, raised.value.status) == ("schema", 400)
    assert SECRET_WORD not in repr(raised.value)
    assert run(ask()).completion_tokens == 8


def test_an_adapter_that_is_not_loaded_is_refused(configured: VllmServer) -> None:
    with pytest.raises(GenerationRefused) as raised:
        run(whole(order(adapter="nobodys-adapter")))

    assert (raised.value.reason, raised.value.status) == ("model", 404)


def test_a_scope_inside_a_tenant_has_a_cache_of_its_own(configured: VllmServer) -> None:
    tenant_id, secret = uuid4(), secrets.token_bytes(32)
    salts = [
        salt_for(tenant_id=tenant_id, epoch=0, secret=secret, scope=scope)
        for scope in (b"", b"alice", b"bob", b"alice")
    ]

    assert [run(ask(salt=salt)).cached_tokens for salt in salts] == [0, 0, 0, 384]


def test_an_emptied_cache_holds_nothing_and_who_is_at_work_goes_on(configured: VllmServer) -> None:
    salt = new_salt()
    run(ask(salt=salt))
    assert run(ask(salt=salt)).cached_tokens == 384

    async def emptied_meanwhile() -> TokenUsage:
        async with generating(order(max_tokens=300), deadline_s=120) as generation:
            assert await asyncio.to_thread(reset_prefix_caches) == [CacheReset("1", "emptied")]
            async for _ in generation:
                pass
        return generation.usage

    assert run(emptied_meanwhile()).completion_tokens == 300
    assert run(ask(salt=salt)).cached_tokens == 0
