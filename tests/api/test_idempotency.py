"""Idempotency-Key on POSTs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.cast import Cast

HEADERS = {"Idempotency-Key": "once"}


def body(cast: Cast, **more: Any) -> dict[str, Any]:
    return {"collection": cast.here.collection, "title": "T", "text": "t"} | more


def test_a_repeated_request_makes_nothing_and_shows_the_same(cast: Cast) -> None:
    first = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    again = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert first.status_code == again.status_code == 202
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["id"] == first.json()["id"]
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1


def test_a_repeated_form_is_recognised_by_its_file(cast: Cast) -> None:
    def form(content: bytes) -> dict[str, Any]:
        file = SimpleUploadedFile("a.txt", content, "text/plain")
        return {"file": file, "collection": cast.here.collection}

    first, again, other = (
        cast.alice.post("/v1/documents", form(c), format="multipart", headers=HEADERS)
        for c in (b"a", b"a", b"b")
    )

    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_the_key_with_another_request_is_refused(cast: Cast) -> None:
    cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    other = cast.alice.post("/v1/documents", body(cast, title="Other"), headers=HEADERS)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1


def test_a_refused_request_does_not_use_the_key_up(cast: Cast) -> None:
    bad = cast.alice.post("/v1/documents", body(cast, title=""), headers=HEADERS)
    good = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert (bad.status_code, good.status_code) == (400, 202)


def test_two_members_of_one_service_do_not_share_keys(cast: Cast) -> None:
    service = cast.here.service
    shared = [
        {"principal": "member:alice", "role": "owner"},
        {"principal": "member:carol", "role": "owner"},
    ]
    cast.adam.put(f"/v1/collections/{cast.here.collection}/grants", {"grants": shared})

    alices, carols = (
        service.acting_for(name).post("/v1/documents", body(cast), headers=HEADERS)
        for name in ("alice", "carol")
    )

    assert alices.status_code == carols.status_code == 202
    assert alices.json()["id"] != carols.json()["id"]


def test_a_replay_shows_nothing_that_may_not_be_seen_any_more(cast: Cast) -> None:
    cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    cast.adam.put(f"/v1/collections/{cast.here.collection}/grants", {"grants": []})

    again = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert (again.status_code, again.json()["code"]) == (404, "document_not_found")


@pytest.mark.parametrize("key", ["", "x" * 201, "ä"])
def test_a_bad_key_is_refused(cast: Cast, key: str) -> None:
    response = cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": key})

    assert (response.status_code, response.json()["code"]) == (400, "bad_idempotency_key")


def test_members_and_groups_are_not_made_twice(cast: Cast) -> None:
    member = {"external_id": "new", "email": "new@example.test"}
    group = {"external_id": "new", "name": "New"}

    for path, made in (("/v1/members", member), ("/v1/groups", group)):
        first, again = (
            cast.here.service.post(path, made, headers={"Idempotency-Key": path}) for _ in range(2)
        )
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
