"""The page "Ask as a member", without a browser: by whose name it is counted, and what it waits for."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.test import Client

from ambit.answers import flow
from ambit.answers.models import Exchange
from ambit.answers.types import Answer
from ambit.config.runtime.supervisor import Stack
from ambit.config.settings import EMBEDDED
from ambit.metering.queries import count_uses_of
from tenants.scope import tenant_scope
from tenants.services import set_member_suspended
from tests.browser.desk import signed_in
from tests.cast import Cast, publish
from tests.database.private import superuser_url
from tests.vllm.scripted import DONE, STREAM, USAGE, ScriptedServer, delta, refusal

PAGE = "/admin/ask/"
ASKED = {"member": "bob@example.test", "k": "8", "question": "How many days of leave are there?"}
WRITTEN = (STREAM, delta("Employees get 27 days [1].", "stop"), USAGE, DONE)


@pytest.fixture
def models(settings: Any) -> Iterator[list[ScriptedServer]]:
    """Have the settings name a server that writes, and one that refuses."""
    servers = [ScriptedServer(script) for script in (WRITTEN, (refusal(400),))]
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = servers[0].url, "m"
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def adam(cast: Cast, embeddings: Stack) -> Client:
    """Return the administrator at the web UI, with a document of Alice's that Bob may read."""
    publish(cast.alice, cast.here)
    return signed_in(cast.here, cast.adam.id).client()


@pytest.fixture
def held(cast: Cast, adam: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold the tenant's documents, as a long change of them does."""
    monkeypatch.setattr(flow, "SAVE_MS", 500)
    with closing(psycopg.connect(superuser_url(EMBEDDED))) as long:
        long.execute("SET idle_in_transaction_session_timeout = '5s'")
        statement = "SELECT id FROM corpus_document WHERE tenant_id = %s FOR NO KEY UPDATE"
        assert long.execute(statement, [cast.here.id]).fetchall()
        yield


def words(answer: Any) -> str:
    """Return what a page says, without its tags."""
    text = re.sub(r"<[^>]+>", " ", answer.content.decode().partition("<main")[2])
    return " ".join(html.unescape(text).split())


def uses_of(person: Any) -> dict[str, Any]:
    """Return what a person is told that it used."""
    (row,) = person.get("/v1/usage").json()["results"]
    return {name: row[name] for name in ("requests", "unfinished", "completion_tokens")}


def test_what_the_model_did_is_the_administrators_and_nothing_is_the_members(
    cast: Cast, adam: Client, models: list[ScriptedServer]
) -> None:
    answer = adam.post(PAGE, ASKED)

    assert answer.status_code == 200
    assert "Employees get 27 days" in words(answer)
    assert "what the model used is counted as yours" in words(adam.get(PAGE))
    assert uses_of(cast.adam)["requests"] == 1
    by_member = cast.adam.get("/v1/usage", {"group_by": "member"}).json()["results"]
    assert [(row["member"], row["completion_tokens"]) for row in by_member] == [
        (cast.adam.public_id, 2)
    ]
    assert uses_of(cast.bob)["requests"] == 0
    with tenant_scope(cast.here.id, custody=True):
        # As an archive says it.
        assert (count_uses_of(cast.adam.id), count_uses_of(cast.bob.id)) == (1, 0)
        assert not Exchange.objects.exists()


def test_what_the_member_lost_meanwhile_is_not_shown_and_says_so(
    cast: Cast, adam: Client, models: list[ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_again = flow.recheck

    def too_late(**given: Any) -> Answer:
        set_member_suspended(member_id=cast.bob.id, suspended=True)
        return ask_again(**given)

    monkeypatch.setattr(flow, "recheck", too_late)
    shown = words(adam.post(PAGE, ASKED))

    assert "27 days" not in shown
    assert "Not shown: what this member may see changed meanwhile" in shown
    assert uses_of(cast.adam) == {"requests": 1, "unfinished": 1, "completion_tokens": 2}


def test_an_answer_whose_documents_are_held_is_not_shown_and_is_counted(
    cast: Cast, adam: Client, models: list[ScriptedServer], held: None
) -> None:
    answer = adam.post(PAGE, ASKED)

    assert answer.status_code == 422
    assert "The answer was written and is counted. Whether the member may still see" in words(
        answer
    )
    assert "27 days" not in words(answer)
    assert uses_of(cast.adam) == {"requests": 1, "unfinished": 1, "completion_tokens": 2}


def test_passages_that_are_held_are_not_shown_where_the_model_refuses(
    cast: Cast, adam: Client, models: list[ScriptedServer], held: None, settings: Any
) -> None:
    settings.AMBIT_VLLM_URL = models[1].url

    answer = adam.post(PAGE, ASKED)

    assert answer.status_code == 422
    assert "The model refused to answer. Whether the member may still see" in words(answer)
    assert "27 days" not in words(answer)
    assert uses_of(cast.adam) == {"requests": 1, "unfinished": 1, "completion_tokens": 0}
