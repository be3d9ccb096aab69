"""What is written and cannot be kept is not given, is counted, and is not asked for twice more by a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.db import OperationalError

from ambit.answers import flow
from ambit.config.runtime.supervisor import Stack
from ambit.config.settings import EMBEDDED
from tests.cast import Cast, publish
from tests.database.private import superuser_url
from tests.vllm.scripted import DONE, STREAM, USAGE, ScriptedServer, delta

WORDS = "How many days of annual leave do employees get?"
ASKED = {
    "/v1/answers": {"question": WORDS},
    "/v1/chat/completions": {"model": "ambit", "messages": [{"role": "user", "content": WORDS}]},
}


@pytest.fixture
def model(settings: Any) -> Iterator[ScriptedServer]:
    server = ScriptedServer((STREAM, delta("Employees get 27 days [1].", "stop"), USAGE, DONE))
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"
    yield server
    server.stop()


def test_where_nothing_can_be_counted_either_it_is_said_all_the_same(
    cast: Cast, embeddings: Stack, model: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(cast.alice, cast.here)

    def away(*_: object, **__: object) -> None:
        raise OperationalError

    async def uncounted(*_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(flow, "save", away)
    monkeypatch.setattr(flow, "count_unsaved", uncounted)
    response = cast.bob.post("/v1/chat/completions", ASKED["/v1/chat/completions"])

    assert (response.status_code, response.json()["code"]) == (503, "answer_not_kept")
    assert response.headers["x-should-retry"] == "false"


def test_a_server_that_counts_nothing_is_counted_for_by_estimate(
    cast: Cast, embeddings: Stack, settings: Any
) -> None:
    publish(cast.alice, cast.here)
    server = ScriptedServer((STREAM, delta("Employees get 27 days [1].", "stop"), DONE))
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"
    try:
        assert cast.bob.post("/v1/answers", ASKED["/v1/answers"]).status_code == 200
    finally:
        server.stop()

    (counted,) = cast.bob.get("/v1/usage").json()["results"]
    assert (counted["requests"], counted["estimated"], counted["unfinished"]) == (1, 1, 0)
    assert counted["prompt_tokens"] > 0


@pytest.mark.parametrize("path", ASKED)
def test_an_answer_that_cannot_be_kept_is_counted_and_not_given(
    cast: Cast, embeddings: Stack, model: ScriptedServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    publish(cast.alice, cast.here)
    monkeypatch.setattr(flow, "SAVE_MS", 1000)

    with closing(psycopg.connect(superuser_url(EMBEDDED))) as long:
        long.execute("SELECT id FROM corpus_document FOR NO KEY UPDATE")
        response = cast.bob.post(path, ASKED[path])

    body = response.json()
    assert (response.status_code, body["code"]) == (503, "answer_not_kept")
    assert "27 days" not in response.content.decode()
    if path != "/v1/answers":
        assert response.headers["x-should-retry"] == "false"
    (counted,) = cast.bob.get("/v1/usage").json()["results"]
    assert (counted["requests"], counted["unfinished"]) == (1, 1)
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == (9, 2)
    assert cast.bob.post(path, ASKED[path]).status_code == 200
