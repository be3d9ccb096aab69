"""Filters of searches, answers and lists over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ambit.config.runtime.supervisor import Stack
from tenants.ids import public_id
from tests.cast import Cast, Person, publish, upload

TEXT = {"query": "annual leave", "mode": "text"}
QUESTION = {"question": "How many days of annual leave do employees get?"}
NO_TIME = "Send a time in ISO 8601, such as 2026-03-01T00:00:00Z."
NO_OFFSET = "Say the time's offset from UTC: 2026-03-01T00:00:00Z, or +01:00 in place of Z."
NO_SCALAR = "Send strings, numbers or booleans, one or a list for each key."


def published(cast: Cast, **metadata: Any) -> str:
    return public_id("document", publish(cast.alice, cast.here, metadata=metadata))


def searched(person: Person, **filters: Any) -> list[str]:
    response = person.post("/v1/search", TEXT | filters)
    assert response.status_code == 200, response.content
    return sorted(p["document"]["id"] for p in response.json()["results"])


def listed(person: Person, **filters: Any) -> list[str]:
    query = {n: json.dumps(f) if isinstance(f, dict) else f for n, f in filters.items()}
    response = person.get("/v1/documents", query)
    assert response.status_code == 200, response.content
    return sorted(d["id"] for d in response.json()["results"])


def test_searches_and_lists_are_narrowed_by_metadata(cast: Cast) -> None:
    old = published(cast, year=2025, team="a")
    new = published(cast, year=2026, team="b")
    bare = published(cast)
    every = sorted([old, new, bare])

    for metadata, expected in (
        ({"year": 2026}, [new]),
        ({"year": "2026"}, []),
        ({"year": [2025, 2026]}, sorted([old, new])),
        ({"year": [2025, 2026], "team": "b"}, [new]),
        ({"year": 2025, "team": "b"}, []),
        ({"year": []}, []),
        ({"month": 1}, []),
        ({}, every),
    ):
        assert searched(cast.bob, metadata=metadata) == expected, metadata
        assert listed(cast.bob, metadata=metadata) == expected, metadata
    assert searched(cast.bob, metadata=None, created_after=None) == every


def test_searches_and_lists_are_narrowed_by_time_as_documents_show_it(cast: Cast) -> None:
    ids = [published(cast), published(cast)]
    first, second = (cast.bob.get(f"/v1/documents/{i}").json() for i in ids)

    for ask in (searched, listed):
        for name in ("created", "updated"):
            at = second[f"{name}_at"]
            assert ask(cast.bob, **{f"{name}_after": at}) == [second["id"]]
            assert ask(cast.bob, **{f"{name}_before": at}) == [first["id"]]
            span = {f"{name}_after": first[f"{name}_at"], f"{name}_before": at}
            assert ask(cast.bob, **span) == [first["id"]]
        # The same moment by another clock, and the ends of what can be written.
        assert ask(cast.bob, created_after="2020-01-01T00:00:00+14:00") == sorted(ids)
        assert ask(cast.bob, created_after="0001-01-02T00:00:00Z") == sorted(ids)
        assert ask(cast.bob, created_after="9999-12-31T23:59:59Z") == []


def test_filters_go_together_with_collections_and_pages(cast: Cast) -> None:
    ids = sorted(published(cast, year=2026) for _ in range(3))
    published(cast, year=2025)
    wanted = {"year": 2026}

    assert searched(cast.bob, metadata=wanted, collections=[cast.here.collection]) == ids
    assert searched(cast.bob, metadata=wanted, collections=[]) == []
    assert listed(cast.bob, metadata=wanted, collection=cast.there.collection) == []
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = cast.bob.get(
            "/v1/documents", {"metadata": json.dumps(wanted), "limit": 1} | cursor
        ).json()
        seen += [d["id"] for d in page["results"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(seen) == ids
    assert len(seen) == 3


def test_an_answer_is_made_from_filtered_documents_alone(cast: Cast, embeddings: Stack) -> None:
    document = published(cast, year=2026)

    answer = cast.bob.post("/v1/answers", QUESTION | {"metadata": {"year": 2026}}).json()
    assert {c["document"] for c in answer["citations"]} == {document}
    for nothing in ({"metadata": {"year": 2025}}, {"created_after": "2999-01-01T00:00:00Z"}):
        answer = cast.bob.post("/v1/answers", QUESTION | nothing).json()
        assert (answer["abstained"], answer["citations"]) == (True, [])


def test_the_same_question_with_another_filter_is_another_request(
    cast: Cast, embeddings: Stack
) -> None:
    headers = {"Idempotency-Key": "q"}
    wanted = QUESTION | {"metadata": {"year": 2026}}
    assert cast.bob.post("/v1/answers", wanted, headers=headers).status_code == 200

    again = cast.bob.post("/v1/answers", wanted, headers=headers)
    another = cast.bob.post("/v1/answers", wanted | {"metadata": {"year": 2025}}, headers=headers)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert (another.status_code, another.json()["code"]) == (422, "idempotency_mismatch")


def test_administrators_filter_records_that_they_may_not_read(cast: Cast) -> None:
    waiting = public_id("document", upload(cast.alice, cast.here, metadata={"year": 2026}))

    assert listed(cast.adam, metadata={"year": 2026}) == []
    assert listed(cast.adam, metadata={"year": 2026}, **{"as": "custodian"}) == [waiting]
    assert listed(cast.adam, metadata={"year": 2025}, **{"as": "custodian"}) == []


BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"metadata": "year"}, "metadata", "invalid", "Send a JSON object."),
    ({"metadata": []}, "metadata", "invalid", "Send a JSON object."),
    ({"metadata": {"zqx": None}}, "metadata", "invalid", NO_SCALAR),
    ({"metadata": {"zqx": {"zqx": 1}}}, "metadata", "invalid", NO_SCALAR),
    ({"metadata": {"zqx": [["zqx"]]}}, "metadata", "invalid", NO_SCALAR),
    ({"metadata": {"zqx": [1, None]}}, "metadata", "invalid", NO_SCALAR),
    (
        {"metadata": {f"zqx{n}": n for n in range(21)}},
        "metadata",
        "max_length",
        "Send at most 20 keys.",
    ),
    (
        {"metadata": {"zqx": list(range(101))}},
        "metadata",
        "max_length",
        "Send at most 100 values for a key.",
    ),
    ({"metadata": {"zqx": "x" * 17000}}, "metadata", "max_length", "Send at most 16 KiB of JSON."),
    (
        {"metadata": {"zqx": "\x00"}},
        "metadata",
        "invalid",
        "Send text without null characters and half surrogate pairs.",
    ),
    (
        {"metadata": {"zqx\x00": 1}},
        "metadata",
        "invalid",
        "Send text without null characters and half surrogate pairs.",
    ),
    ({"created_after": "zqx"}, "created_after", "invalid", NO_TIME),
    ({"created_after": ""}, "created_after", "invalid", NO_TIME),
    ({"created_before": 7}, "created_before", "invalid", NO_TIME),
    ({"created_before": True}, "created_before", "invalid", NO_TIME),
    ({"updated_after": "2026-02-30T00:00:00Z"}, "updated_after", "invalid", NO_TIME),
    ({"updated_after": "2026-03-01T00:00:00 01:00"}, "updated_after", "invalid", NO_TIME),
    ({"updated_after": "0001-01-01T00:00:00+14:00"}, "updated_after", "invalid", NO_TIME),
    ({"updated_before": "2026-03-01T00:00:00"}, "updated_before", "no_offset", NO_OFFSET),
    ({"updated_before": "2026-03-01"}, "updated_before", "no_offset", NO_OFFSET),
    (
        {"created_after": "2026-03-01T01:00:00+01:00", "created_before": "2026-03-01T00:00:00Z"},
        "created_before",
        "invalid",
        "Send a time later than `created_after`.",
    ),
    (
        {"updated_after": "2026-03-02T00:00:00Z", "updated_before": "2026-03-01T00:00:00Z"},
        "updated_before",
        "invalid",
        "Send a time later than `updated_after`.",
    ),
]


@pytest.mark.parametrize(("filters", "field", "code", "detail"), BAD)
@pytest.mark.parametrize("path", ["/v1/search", "/v1/answers", "/v1/documents"])
def test_a_bad_filter_is_refused_in_words_that_repeat_nothing_of_it(
    cast: Cast, path: str, filters: dict[str, Any], field: str, code: str, detail: str
) -> None:
    if path == "/v1/documents":
        if isinstance(filters.get("metadata"), str):
            detail = "Send this field as JSON text."
        query = {n: json.dumps(f) if isinstance(f, dict | list) else f for n, f in filters.items()}
        response = cast.bob.get(path, query)
    else:
        response = cast.bob.post(path, (TEXT if path == "/v1/search" else QUESTION) | filters)

    problem = response.json()
    assert response.status_code == 400
    assert problem["type"] == "/docs/problems#invalid"
    assert problem["detail"] == "Correct what `errors` names. Nothing was changed."
    assert problem["errors"] == [{"field": field, "code": code, "detail": detail}]
    assert "zqx" not in response.content.decode()


@pytest.mark.parametrize("name", ["created", "since", "meta", "metadata.year", "updatedAfter"])
def test_an_unknown_filter_is_refused_with_the_names_of_the_known(cast: Cast, name: str) -> None:
    for response in (
        cast.bob.post("/v1/search", TEXT | {name: "x"}),
        cast.bob.post("/v1/answers", QUESTION | {name: "x"}),
        cast.bob.get("/v1/documents", {name: "x"}),
    ):
        problem = response.json()
        assert (response.status_code, problem["code"]) == (400, "unknown_field")
        (error,) = problem["errors"]
        assert (error["field"], error["code"]) == (name, "unknown_field")
        assert "metadata, created_after, created_before" in error["detail"]


def test_no_filter_reaches_the_audit_trail(cast: Cast) -> None:
    published(cast, word="zqxmetadata")
    searched(cast.bob, metadata={"word": "zqxmetadata"}, created_after="2019-09-09T00:00:00Z")
    listed(cast.bob, metadata={"word": "zqxmetadata"}, created_after="2019-09-09T00:00:00Z")

    events = cast.audrey.get("/v1/audit/events", {"limit": 200}).content.decode()

    assert "document.listed" in events
    assert "zqxmetadata" not in events
    assert "2019-09-09" not in events
