"""One question over several collections, each with a budget of its own, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ambit.config.runtime.supervisor import Stack
from tenants.ids import parse_id, public_id
from tests.cast import Cast, Place, publish

QUESTION = {"question": "How many days of annual leave do employees get?"}


def opened(cast: Cast, name: str, *readers: str, texts: int = 3) -> Place:
    """Make a collection that Alice owns, with documents that all answer the question."""
    grants = [{"principal": "member:alice", "role": "owner"}]
    grants += [{"principal": f"member:{reader}", "role": "reader"} for reader in readers]
    made = cast.here.service.post("/v1/collections", {"name": name, "grants": grants}).json()
    collection_id = parse_id("collection", made["id"])
    assert collection_id is not None
    place = replace(cast.here, collection_id=collection_id)
    for n in range(texts):
        publish(cast.alice, place, text=f"{name} employees get {20 + n} days of annual leave.")
    return place


def route(place: Place, k: int) -> dict[str, Any]:
    return {"collection": place.collection, "k": k}


def looked_through(cast: Cast, person: Any, **more: Any) -> list[str]:
    """Return the collections of the documents whose passages an answer was made from, by the audit trail."""
    response = person.post("/v1/answers", QUESTION | more)
    assert response.status_code == 200, response.content
    query = {"action": "answer.retrieved"}
    event = cast.audrey.get("/v1/audit/events", query).json()["results"][0]
    assert len(event["documents"]) == len(event["chunks"])
    shown = [cast.alice.get(f"/v1/documents/{d}").json() for d in event["documents"]]
    return sorted(document["collection"] for document in shown)


def test_each_collection_gives_at_most_its_budget_and_no_other_gives_any(
    cast: Cast, embeddings: Stack
) -> None:
    publish(cast.alice, cast.here)
    hr, finance, legal = (opened(cast, name) for name in ("HR", "Finance", "Legal"))

    seen = looked_through(cast, cast.alice, routes=[route(hr, 2), route(finance, 1)])
    assert seen == sorted([hr.collection, hr.collection, finance.collection])

    seen = looked_through(cast, cast.alice, routes=[route(legal, 40), route(cast.here, 10)])
    assert seen == sorted([*[legal.collection] * 3, cast.here.collection])


def test_no_routes_is_nowhere_and_null_is_everywhere(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)

    nowhere = cast.alice.post("/v1/answers", QUESTION | {"routes": []}).json()

    assert (nowhere["abstained"], nowhere["citations"]) == (True, [])
    assert looked_through(cast, cast.alice, routes=[]) == []
    assert looked_through(cast, cast.alice, routes=None) == [cast.here.collection]
    assert looked_through(cast, cast.alice, collections=[], routes=None) == []


def test_what_a_member_may_not_see_is_refused_like_what_does_not_exist(
    cast: Cast, embeddings: Stack
) -> None:
    hr, legal = opened(cast, "HR", "bob"), opened(cast, "Legal")
    publish(cast.mallory, cast.there)

    for collection in (legal.collection, cast.there.collection, "col_" + "0" * 32, "x"):
        routes = [route(hr, 2), {"collection": collection, "k": 2}]
        response = cast.bob.post("/v1/answers", QUESTION | {"routes": routes})
        assert (response.status_code, response.json()["code"]) == (404, "collection_not_found")
        assert response.json()["errors"] == []
    assert looked_through(cast, cast.bob, routes=[route(hr, 2)]) == [hr.collection] * 2


def test_a_route_reaches_no_document_of_the_collection_that_the_member_may_not_see(
    cast: Cast, embeddings: Stack
) -> None:
    hr = opened(cast, "HR", "bob", texts=1)
    document = public_id("document", publish(cast.alice, hr, text="Annual leave: 99 days."))
    grants = [{"principal": "member:alice", "role": "owner"}]
    shared = cast.alice.put(f"/v1/documents/{document}/grants", {"grants": grants})
    assert shared.status_code == 200

    assert looked_through(cast, cast.alice, routes=[route(hr, 9)]) == [hr.collection] * 2
    assert looked_through(cast, cast.bob, routes=[route(hr, 9)]) == [hr.collection]
    answer = cast.bob.post("/v1/answers", QUESTION | {"routes": [route(hr, 9)]})
    assert b"99 days" not in answer.content


def test_filters_hold_along_routes(cast: Cast, embeddings: Stack) -> None:
    hr = opened(cast, "HR", texts=2)
    publish(cast.alice, hr, metadata={"year": 2026})

    assert looked_through(cast, cast.alice, routes=[route(hr, 9)], metadata={"year": 2026}) == [
        hr.collection
    ]


COLLECTION = "col_" + "1" * 32


def wanted(k: Any = 1, **more: Any) -> dict[str, Any]:
    return {"collection": COLLECTION, "k": k} | more


@pytest.mark.parametrize(
    ("more", "field", "code"),
    [
        ({"routes": [wanted()], "collections": []}, "collections", "not_with_routes"),
        ({"routes": [], "k": 10}, "k", "not_with_routes"),
        ({"routes": [wanted(), wanted()]}, "routes.1.collection", "duplicate_route"),
        (
            {"routes": [wanted(50), wanted(1, collection="col_" + "2" * 32)]},
            "routes",
            "too_many_passages",
        ),
        ({"routes": [wanted(0)]}, "routes.0.k", "min_value"),
        ({"routes": [wanted(51)]}, "routes.0.k", "max_value"),
        ({"routes": [wanted(None)]}, "routes.0.k", "null"),
        ({"routes": [{"collection": COLLECTION}]}, "routes.0.k", "required"),
        ({"routes": [{"k": 3}]}, "routes.0.collection", "required"),
        ({"routes": [wanted(weight=2)]}, "routes.0.weight", "unknown_field"),
        ({"routes": [wanted()] * 21}, "routes", "max_length"),
        ({"routes": [COLLECTION]}, "routes.0", "invalid"),
        ({"routes": COLLECTION}, "routes", "not_a_list"),
        ({"routes": {COLLECTION: 3}}, "routes", "not_a_list"),
    ],
)
def test_bad_routes_are_refused(cast: Cast, more: dict[str, Any], field: str, code: str) -> None:
    response = cast.alice.post("/v1/answers", QUESTION | more)

    assert response.status_code == 400, response.content
    assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]
    assert COLLECTION not in response.json()["errors"][0]["detail"]
