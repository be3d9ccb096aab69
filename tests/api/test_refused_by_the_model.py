"""What a caller is told when the model server refuses, whose words never go further."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ambit.config.runtime.supervisor import Stack
from tests.cast import Cast, publish
from tests.vllm.scripted import ScriptedServer, refusal

QUESTION = {"question": "How many days of annual leave do employees get?"}
SCHEMA = {"type": "object", "properties": {"days": {"type": "integer", "multipleOf": 9}}}
TOO_LONG = "This model's maximum context length is 9 tokens. secret"
UNSERVED = "The provided JSON schema contains features not supported by xgrammar."


@contextmanager
def _saying(settings: Any, status: int, words: str) -> Iterator[ScriptedServer]:
    server = ScriptedServer((refusal(status, message=words),))
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("status", "words", "told", "code"),
    [
        (400, UNSERVED, 400, "schema_not_served"),
        (400, TOO_LONG, 400, "question_too_long"),
        (401, "secret", 503, "generation_refused"),
        (404, "The model `secret` does not exist.", 503, "generation_refused"),
    ],
    ids=["schema", "context", "key", "model"],
)
def test_a_refusal_says_whose_it_is_to_mend(
    cast: Cast, embeddings: Stack, settings: Any, status: int, words: str, told: int, code: str
) -> None:
    publish(cast.alice, cast.here)

    with _saying(settings, status, words) as server:
        response = cast.bob.post("/v1/answers", {**QUESTION, "schema": SCHEMA})

    body = response.json()
    assert (response.status_code, body["code"]) == (told, code)
    assert server.requests, "the model server was asked"
    assert "Retry-After" not in response.headers
    assert "again" not in body["detail"]
    assert "secret" not in response.content.decode()
