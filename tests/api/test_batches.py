"""Several documents in one call."""

from __future__ import annotations

import pytest

from tests.cast import Cast


def test_each_document_of_a_batch_has_an_outcome_of_its_own(cast: Cast) -> None:
    good = {"collection": cast.here.collection, "title": "A", "text": "a", "external_id": "a"}
    documents = [
        good,
        good,
        good | {"external_id": "b", "colour": "red"},
        good | {"external_id": "c", "collection": cast.there.collection},
        "no object",
        good | {"external_id": "d"},
    ]

    response = cast.alice.post("/v1/documents/batch", {"documents": documents})

    assert response.status_code == 202
    results = response.json()["results"]
    assert [r["index"] for r in results] == list(range(6))
    assert [r["status"] for r in results] == [202, 409, 400, 404, 400, 202]
    codes = [r["problem"] and r["problem"]["code"] for r in results]
    assert codes == [
        None, "external_id_taken", "unknown_field", "collection_not_found", "invalid", None
    ]  # fmt: skip
    listed = {d["id"] for d in cast.alice.get("/v1/documents").json()["results"]}
    assert listed == {r["id"] for r in results if r["id"]}


@pytest.mark.parametrize("documents", [[], [{}] * 501, "x", None])
def test_an_empty_or_too_long_batch_is_refused(cast: Cast, documents: object) -> None:
    response = cast.alice.post("/v1/documents/batch", {"documents": documents})

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "documents"


@pytest.mark.parametrize("depth", [65, 940, 990])
def test_a_deeply_nested_body_is_refused(cast: Cast, depth: int) -> None:
    body = b'{"documents": ' + b"[" * depth + b"]" * depth + b"}"

    response = cast.alice.post("/v1/documents/batch", body, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


def test_a_batch_is_not_taken_twice_under_one_idempotency_key(cast: Cast) -> None:
    good = {"collection": cast.here.collection, "title": "A", "text": "a"}
    body = {"documents": [good, {"title": "bad"}]}
    headers = {"Idempotency-Key": "batch-1"}

    first = cast.alice.post("/v1/documents/batch", body, headers=headers)
    again = cast.alice.post("/v1/documents/batch", body, headers=headers)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.status_code == first.status_code == 202
    assert [r["id"] for r in again.json()["results"]] == [r["id"] for r in first.json()["results"]]
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1
