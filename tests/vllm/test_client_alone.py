from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from pytest_django.fixtures import Settings

from ambit.inference import vllm
from ambit.inference.vllm import (
    Completion,
    GenerationRefused,
    GenerationUnavailable,
    InvalidCacheSalt,
    chat,
    salt_for,
)
from tests.vllm.server import CPU_FLAGS, RECOMMENDED_FLAGS

README = Path(__file__).parents[2] / "deploy" / "vllm" / "README.md"
TENANT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
SECRET = b"s" * 32


def event(**fields: object) -> bytes:
    # As vLLM writes it: not escaped beyond what JSON asks for.
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def delta(content: str, finish_reason: str | None = None) -> bytes:
    return event(choices=[{"delta": {"content": content}, "finish_reason": finish_reason}])


USAGE = event(
    choices=[],
    usage={
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
)
DONE = b"data: [DONE]\n\n"


def collected(*events: bytes) -> Completion:
    response = httpx2.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        content=b"".join(events),
        request=httpx2.Request("POST", "http://127.0.0.1/"),
    )
    return asyncio.run(vllm._collect(response))


def test_a_salt_is_a_domain_tagged_hmac_of_tenant_and_epoch() -> None:
    message = b"ambit.cache_salt.v1\0" + TENANT.bytes + b"\0" + b"7"

    salt = salt_for(tenant_id=TENANT, epoch=7, secret=SECRET)

    assert salt == hmac.new(SECRET, message, hashlib.sha256).hexdigest()


def test_salts_differ_by_tenant_epoch_and_secret() -> None:
    salts = {
        salt_for(tenant_id=tenant, epoch=epoch, secret=secret)
        for tenant in (TENANT, UUID(int=1))
        for epoch in (0, 1, 10)
        for secret in (SECRET, b"t" * 32)
    }

    assert len(salts) == 12


@pytest.mark.parametrize(("epoch", "secret"), [(-1, SECRET), (0, b""), (0, b"short")])
def test_a_salt_is_not_made_from_a_weak_secret_or_a_negative_epoch(
    epoch: int, secret: bytes
) -> None:
    with pytest.raises(InvalidCacheSalt):
        salt_for(tenant_id=TENANT, epoch=epoch, secret=secret)


@pytest.mark.parametrize(
    ("url", "key", "model"),
    [
        ("", "k", "m"),
        ("http://127.0.0.1:9", "k", ""),
        ("file:///etc/passwd", "k", "m"),
        ("127.0.0.1:9", "k", "m"),
        ("http://127.0.0.1:nine", "k", "m"),
        ("http://127.0.0.1:9", "line\nbreak", "m"),
        ("http://127.0.0.1:9", "kéy", "m"),
    ],
)
def test_without_a_usable_server_in_the_settings_nothing_is_asked(
    settings: Settings, url: str, key: str, model: str
) -> None:
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_KEY, settings.AMBIT_VLLM_MODEL = url, key, model

    with pytest.raises(GenerationUnavailable) as raised:
        asyncio.run(chat(messages=[], cache_salt="a" * 64, deadline_s=5))

    assert raised.value.reason == "not_configured"


def test_a_proxy_named_in_the_environment_never_sees_a_prompt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    settings.AMBIT_VLLM_URL = "http://127.0.0.1:2"
    settings.AMBIT_VLLM_MODEL = "m"

    async def routes() -> bool:
        client = await vllm._client()
        return any(client._mounts.values())

    assert asyncio.run(routes()) is False


def test_line_separators_inside_a_token_do_not_break_the_stream() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x1cf"

    completion = collected(delta(text), delta("", "stop"), USAGE, DONE)

    assert completion == Completion(text, 9, 2, 4, "stop")


def test_keep_alive_comments_and_empty_deltas_are_no_text() -> None:
    role = event(choices=[{"delta": {"role": "assistant", "content": None}}])

    completion = collected(
        b": keep-alive\n\n", role, delta("five"), delta("", "length"), USAGE, DONE
    )

    assert (completion.text, completion.finish_reason) == ("five", "length")


def test_a_server_that_counts_nothing_leaves_zeros() -> None:
    completion = collected(delta("five", "stop"), DONE)

    assert (completion.prompt_tokens, completion.cached_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((delta("five"),), "cut_short"),
        ((delta("five", "stop"), USAGE), "cut_short"),
        ((delta("five"), DONE), "cut_short"),
        ((delta("five", "abort"), USAGE, DONE), "cut_short"),
        ((DONE,), "cut_short"),
        ((), "cut_short"),
        ((b"data: {not json\n\n",), "failed"),
        ((b"data: [1]\n\n",), "failed"),
        ((delta("five"), event(error={"message": "secret", "code": 500}), DONE), "failed"),
        ((delta("five"), event(error={"message": "secret", "code": 503}), DONE), "failed"),
        ((event(error="secret"), DONE), "failed"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_answer(events: tuple[bytes, ...], reason: str) -> None:
    with pytest.raises(GenerationUnavailable) as raised:
        collected(*events)

    assert raised.value.reason == reason
    assert "secret" not in repr(raised.value)


def test_a_full_queue_told_inside_the_stream_may_be_tried_again() -> None:
    with pytest.raises(vllm._NotYetAnswered) as raised:
        collected(event(error={"message": "secret", "code": 503}), DONE)

    assert raised.value.unavailable.reason == "busy"


def test_a_refusal_inside_the_stream_is_a_refusal() -> None:
    error = {"message": "maximum context length of secret", "code": 400}

    with pytest.raises(GenerationRefused) as raised:
        collected(event(error=error), DONE)

    assert raised.value.reason == "context_overflow"
    assert "secret" not in repr(raised.value)


@pytest.mark.parametrize("flag", RECOMMENDED_FLAGS)
def test_what_the_tests_start_is_what_the_readme_recommends(flag: str) -> None:
    assert flag in README.read_text()


@pytest.mark.parametrize("flag", CPU_FLAGS)
def test_what_only_a_cpu_needs_is_not_recommended(flag: str) -> None:
    assert f"\n  {flag}" not in README.read_text()
