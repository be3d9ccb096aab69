"""Answers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from ambit.api import lines
from ambit.config.runtime.supervisor import Stack
from tenants import steps
from tenants.ids import public_id
from tenants.secrets import new_key, parse_key
from tenants.steps import Places
from tests.cast import HANDBOOK, Api, Cast, publish

QUESTION = {"question": "How many days of annual leave do employees get?"}


def test_an_answer_cites_what_the_asker_may_see(cast: Cast, embeddings: Stack) -> None:
    document = public_id("document", publish(cast.alice, cast.here))

    response = cast.bob.post("/v1/answers", QUESTION)

    assert response.status_code == 200, response.content
    answer = response.json()
    assert "27 days" in answer["answer"]
    assert (answer["abstained"], answer["generator"]) == (False, "extractive")
    citation = answer["citations"][0]
    assert (citation["document"], citation["version"]) == (document, 1)
    assert citation["quote"] == HANDBOOK[citation["char_start"] : citation["char_end"]]
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
    assert cast.bob.get(response.headers["Location"]).json() == answer


def test_who_may_see_nothing_gets_no_answer(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)

    for person in (cast.carol, cast.mallory):
        answer = person.post("/v1/answers", QUESTION).json()
        assert (answer["abstained"], answer["citations"]) == (True, [])
        assert "27" not in answer["answer"]


def test_an_answer_is_its_askers_alone_and_goes_with_the_grant(
    cast: Cast, embeddings: Stack
) -> None:
    publish(cast.alice, cast.here)
    path = cast.bob.post("/v1/answers", QUESTION).headers["Location"]

    others = [api.get(path) for api in (cast.alice, cast.adam, cast.mallory)]
    cast.here.service.delete(f"/v1/groups/{cast.here.group}/members/{cast.bob.public_id}")
    revoked = cast.bob.get(path)

    assert {(r.status_code, r.json()["code"]) for r in [*others, revoked]} == {
        (404, "answer_not_found")
    }


def test_a_question_asked_again_under_its_key_is_not_answered_anew(
    cast: Cast, embeddings: Stack
) -> None:
    publish(cast.alice, cast.here)
    headers = {"Idempotency-Key": "q"}

    first, again = (cast.bob.post("/v1/answers", QUESTION, headers=headers) for _ in range(2))

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_failed_answer_frees_its_key(
    cast: Cast, embeddings: Stack, settings: Any, tmp_path: Any
) -> None:
    publish(cast.alice, cast.here)
    headers = {"Idempotency-Key": "q"}
    settings.AMBIT_VLLM_URL = f"unix://{tmp_path}/nobody.sock"
    settings.AMBIT_VLLM_MODEL = "none"

    failed = cast.bob.post("/v1/answers", QUESTION, headers=headers)
    settings.AMBIT_VLLM_URL = ""
    later = cast.bob.post("/v1/answers", QUESTION, headers=headers)

    assert (failed.status_code, failed.json()["code"]) == (503, "generation_unavailable")
    assert later.status_code == 200


class Full(Places):
    """Has room for so many steps of a request, and for none after them."""

    def __init__(self, n_steps: int) -> None:
        super().__init__(1)
        self.n_left = n_steps

    async def take(self, line: Hashable) -> None:
        self.n_left -= 1
        if self.n_left == -1:
            await asyncio.Event().wait()
        await super().take(line)


@pytest.mark.parametrize("n_steps", [0, 1, 2], ids=["let in", "taken", "prepared"])
def test_who_finds_no_room_is_told_so_and_may_ask_again(
    cast: Cast, embeddings: Stack, monkeypatch: pytest.MonkeyPatch, n_steps: int
) -> None:
    publish(cast.alice, cast.here)
    headers = {"Idempotency-Key": "q"}

    with monkeypatch.context() as now:
        now.setattr(steps, "PLACE_S", 0.1)
        now.setattr(steps, "Places", lambda _: Full(n_steps))
        busy = cast.bob.post("/v1/answers", QUESTION, headers=headers)
    later = cast.bob.post("/v1/answers", QUESTION, headers=headers)

    assert (busy.status_code, busy.json()["code"]) == (503, "busy")
    assert int(busy.headers["Retry-After"]) > 0
    assert "database" not in busy.content.decode()
    assert 'ambit_refusals_total{reason="busy"}' in Api("").get("/metrics").content.decode()
    assert later.status_code == 200
    assert "Idempotency-Replayed" not in later.headers


def test_openais_clients_may_ask_again_where_there_was_no_room(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PLACE_S", 0.1)
    monkeypatch.setattr(steps, "Places", lambda _: Full(0))
    asked = {"model": "ambit", "messages": [{"role": "user", "content": "How many days?"}]}

    busy = cast.bob.post("/v1/chat/completions", asked)

    assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
    assert busy.json()["error"]["type"] == "server_error"
    assert "x-should-retry" not in busy.headers
    assert int(busy.headers["Retry-After"]) > 0


def test_whoever_was_let_in_waits_in_its_tenants_line_from_then_on(
    cast: Cast,
    embeddings: Stack,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Any,
) -> None:
    publish(cast.alice, cast.here)
    monkeypatch.setattr(lines, "_let_in", {})
    stood: list[Hashable] = []

    class Noting(Places):
        async def take(self, line: Hashable) -> None:
            stood.append(line)
            await super().take(line)

    monkeypatch.setattr(steps, "Places", Noting)
    invented = Api(new_key("svc", tenant_id=cast.here.id)[0])
    for _ in range(2):
        assert invented.post("/v1/answers", QUESTION).status_code == 401
        assert cast.bob.post("/v1/answers", QUESTION).status_code == 200

    # What was used is counted in the line too, also where it failed.
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = f"unix://{tmp_path}/nobody.sock", "none"
    assert cast.bob.post("/v1/answers", QUESTION).status_code == 503

    strange = lines.line_of(parse_key(new_key("svc", tenant_id=cast.here.id)[0]))
    assert stood[:2] == [strange, strange]
    assert stood.count(strange) == 3
    assert set(stood) == {strange, cast.here.id}


def test_an_answer_is_audited_by_ids_alone(cast: Cast, embeddings: Stack) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    answer = cast.bob.post("/v1/answers", QUESTION).json()

    events = cast.audrey.get("/v1/audit/events", {"object": answer["id"]}).json()["results"]

    assert [e["action"] for e in events] == ["answer.given"]
    assert events[0]["documents"] == [document]
    assert "leave" not in str(events)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"question": ""}, "invalid"),
        (QUESTION | {"k": 0}, "invalid"),
        (QUESTION | {"temperature": 1}, "unknown_field"),
    ],
)
def test_a_bad_question_is_refused(cast: Cast, body: dict[str, Any], code: str) -> None:
    response = cast.alice.post("/v1/answers", body)

    assert (response.status_code, response.json()["code"]) == (400, code)


def test_nobody_asks_without_a_key(cast: Cast) -> None:
    assert Api("").post("/v1/answers", QUESTION).status_code == 401
    assert cast.here.service.post("/v1/answers", QUESTION).json()["code"] == "member_required"
