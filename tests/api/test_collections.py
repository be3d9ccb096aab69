"""Collections and their grants over HTTP."""

from __future__ import annotations

import pytest

from tests.cast import Cast, publish

SEARCH = {"query": "annual leave", "mode": "text"}


def test_a_collection_is_made_with_grants_in_every_spelling(cast: Cast) -> None:
    grants = [
        {"principal": "member:alice@example.test", "role": "owner"},
        {"principal": "group:staff", "role": "reader"},
        {"principal": f"member:{cast.carol.public_id}", "role": "editor"},
        {"principal": "tenant", "role": "reader"},
    ]

    made = cast.here.service.post("/v1/collections", {"name": "HR", "grants": grants})

    assert made.status_code == 201
    shown = {g["principal"]: g["role"] for g in made.json()["grants"]}
    staff = next(p for p in shown if p.startswith("group:grp_"))
    assert shown == {
        f"member:{cast.alice.public_id}": "owner",
        staff: "reader",
        f"member:{cast.carol.public_id}": "editor",
        "tenant": "reader",
    }
    assert cast.here.service.get(made.headers["Location"]).json() == made.json()


def test_a_collection_without_grants_is_seen_by_nobody_but_custodians(cast: Cast) -> None:
    made = cast.here.service.post("/v1/collections", {"name": "Closed"}).json()
    path = f"/v1/collections/{made['id']}"

    assert made["grants"] == []
    assert cast.alice.get(path).status_code == 404
    assert cast.adam.get(path).status_code == 200


def test_each_sees_the_collections_granted(cast: Cast) -> None:
    def seen(api: object) -> list[str]:
        return [c["id"] for c in api.get("/v1/collections").json()["results"]]  # type: ignore[attr-defined]

    assert seen(cast.alice) == [cast.here.collection]
    assert seen(cast.bob) == [cast.here.collection]
    assert seen(cast.carol) == []
    assert seen(cast.mallory) == [cast.there.collection]
    assert cast.bob.get(f"/v1/collections/{cast.here.collection}").json()["grants"] is None
    assert cast.alice.get(f"/v1/collections/{cast.here.collection}").json()["grants"] is not None


def test_an_owner_shares_and_a_reader_may_not(cast: Cast) -> None:
    publish(cast.alice, cast.here)
    path = f"/v1/collections/{cast.here.collection}/grants"
    grants = [
        {"principal": "member:alice", "role": "owner"},
        {"principal": "member:carol", "role": "reader"},
    ]

    refused = cast.bob.put(path, {"grants": grants})
    hidden = cast.carol.put(path, {"grants": grants})
    done = cast.alice.put(path, {"grants": grants})

    assert (refused.status_code, refused.json()["code"]) == (403, "grant_missing")
    assert hidden.status_code == 404
    assert done.status_code == 200
    found = {p: len(p.post("/v1/search", SEARCH).json()["results"]) for p in (cast.bob, cast.carol)}
    assert found == {cast.bob: 0, cast.carol: 1}


@pytest.mark.parametrize(
    ("principal", "code"),
    [
        ("member:nobody", "unknown_principal"),
        ("group:grp_" + "0" * 32, "unknown_principal"),
        ("member:mallory@example.test", "unknown_principal"),
        ("everyone", "invalid"),
        ("member:", "invalid"),
        ("", "blank"),
    ],
)
def test_an_unknown_principal_is_refused_and_nothing_is_changed(
    cast: Cast, principal: str, code: str
) -> None:
    path = f"/v1/collections/{cast.here.collection}"
    before = cast.adam.get(path).json()
    grants = [
        {"principal": "member:bob", "role": "owner"},
        {"principal": principal, "role": "reader"},
    ]

    response = cast.adam.put(f"{path}/grants", {"grants": grants})

    assert response.status_code == 400
    errors = response.json()["errors"]
    assert [(e["field"], e["code"]) for e in errors] == [("grants.1.principal", code)]
    assert cast.adam.get(path).json() == before


def test_the_same_principal_twice_is_refused_in_any_spelling(cast: Cast) -> None:
    grants = [
        {"principal": "member:bob", "role": "owner"},
        {"principal": "member:bob@example.test", "role": "reader"},
    ]

    response = cast.here.service.post("/v1/collections", {"name": "Twice", "grants": grants})

    assert (response.status_code, response.json()["code"]) == (400, "duplicate_principal")


def test_a_hidden_a_foreign_and_a_made_up_collection_answer_alike(cast: Cast) -> None:
    ids = [cast.here.collection, cast.there.collection, "col_" + "0" * 32, "nonsense"]

    responses = [cast.carol.get(f"/v1/collections/{i}") for i in ids]

    assert {r.status_code for r in responses} == {404}
    assert len({str(r.json() | {"request_id": ""}) for r in responses}) == 1


def test_members_do_not_make_collections(cast: Cast) -> None:
    response = cast.alice.post("/v1/collections", {"name": "Mine"})

    assert (response.status_code, response.json()["code"]) == (403, "role_missing")
    assert cast.here.service.post("/v1/collections", {"name": "Handbooks"}).status_code == 409
