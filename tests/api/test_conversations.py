"""Conversations over HTTP."""

from __future__ import annotations

from uuid import UUID

import pytest

from ambit.access.clearance import clearance_for
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Usage
from ambit.corpus.search import search
from ambit.jobs.kinds import REMOVE_CONVERSATION
from ambit.jobs.models import Job
from tenants.ids import parse_id
from tests.cast import Cast, as_service, publish
from tests.database.erasures import keep_from_workers


def _begin(cast: Cast) -> str:
    """Begin a conversation of Bob's; return its path."""
    made = cast.bob.post("/v1/conversations", {})
    assert made.status_code == 201, made.content
    assert made.json()["turns"] == []
    return str(made.headers["Location"])


def _say(cast: Cast, path: str, question: str, *, from_documents: bool) -> None:
    conversation_id = parse_id("conversation", path.rpartition("/")[2])
    with as_service(cast.here.id, cast.here.service_key_id):
        clearance = clearance_for(member_id=cast.bob.id)
        found = search(clearance=clearance, query="leave", embedding=None, k=5, mode="text")
        assert found
        save_exchange(
            member_id=cast.bob.id,
            question=question,
            answer=Answer(
                text="27 days.",
                abstained=False,
                generator="extractive",
                citations=(),
                unsupported=(),
                usage=Usage(),
            ),
            passages=found if from_documents else (),
            conversation_id=conversation_id,
        )


@pytest.fixture
def path(cast: Cast) -> str:
    """Return the path of a conversation of Bob's with two turns, the first made from a document."""
    publish(cast.alice, cast.here)
    made = _begin(cast)
    _say(cast, made, "How many days of leave?", from_documents=True)
    _say(cast, made, "And in Porto?", from_documents=False)
    return made


def test_a_conversation_shows_its_turns_oldest_first(cast: Cast, path: str) -> None:
    shown = cast.bob.get(path).json()

    assert [t["question"] for t in shown["turns"]] == ["How many days of leave?", "And in Porto?"]
    assert shown["withheld"] == 0
    first = shown["turns"][0]
    answer = cast.bob.get(f"/v1/answers/{first['id']}").json()
    assert first == answer | {"question": first["question"], "asked_at": first["asked_at"]}


def test_what_is_out_of_reach_is_counted_and_not_shown(cast: Cast, path: str) -> None:
    cast.here.service.delete(f"/v1/groups/{cast.here.group}/members/{cast.bob.public_id}")

    shown = cast.bob.get(path)

    assert [t["question"] for t in shown.json()["turns"]] == ["And in Porto?"]
    assert shown.json()["withheld"] == 1
    assert b"How many" not in shown.content


def test_it_is_its_members_alone(cast: Cast, path: str) -> None:
    answers = [
        api.call(method, path)
        for api in (cast.alice, cast.adam, cast.mallory)
        for method in ("GET", "DELETE")
    ]

    told = {(a.status_code, a.json()["code"]) for a in answers}
    assert told == {(404, "conversation_not_found")}
    assert cast.alice.get("/v1/conversations").json() == {"results": [], "next": None}
    (listed,) = cast.bob.get("/v1/conversations").json()["results"]
    assert (listed["id"], listed["n_turns"]) == (path.rpartition("/")[2], 2)


def test_one_that_is_deleted_is_gone_at_once(cast: Cast, path: str) -> None:
    answer = cast.bob.get(path).json()["turns"][1]["id"]

    assert cast.bob.delete(path).status_code == 204

    gone = [cast.bob.get(path), cast.bob.delete(path), cast.bob.get(f"/v1/answers/{answer}")]
    assert {a.status_code for a in gone} == {404}
    assert cast.bob.get("/v1/conversations").json()["results"] == []
    with as_service(cast.here.id, cast.here.service_key_id):
        (job,) = Job.objects.filter(name=REMOVE_CONVERSATION.name)
        assert job.object_id == _id(path)
        keep_from_workers()


def test_one_begun_again_under_its_key_is_the_same(cast: Cast) -> None:
    headers = {"Idempotency-Key": "c"}

    made = [cast.bob.call("POST", "/v1/conversations", {}, headers=headers) for _ in range(2)]

    assert {m.status_code for m in made} == {201}
    assert made[0].json() == made[1].json()
    assert len(cast.bob.get("/v1/conversations").json()["results"]) == 1


def _id(path: str) -> UUID:
    found = parse_id("conversation", path.rpartition("/")[2])
    assert found is not None
    return found
