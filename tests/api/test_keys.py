"""API keys over HTTP."""

from __future__ import annotations

from tests.cast import Api, Cast


def test_a_members_key_is_shown_once_and_works(cast: Cast) -> None:
    path = f"/v1/members/{cast.bob.public_id}/keys"

    made = cast.here.service.post(path, {"name": "laptop", "scopes": ["search"]}).json()

    assert made["key"].startswith("ambit_mbr_")
    assert (made["name"], made["scopes"], made["expires_at"]) == ("laptop", ["search"], None)
    search = {"query": "x", "mode": "text"}
    assert Api(made["key"]).post("/v1/search", search).status_code == 200
    listed = cast.here.service.get(path)
    assert made["id"] in [k["id"] for k in listed.json()["results"]]
    assert made["key"] not in listed.content.decode()


def test_a_key_makes_no_key_that_can_do_more(cast: Cast) -> None:
    clerk = Api(
        cast.here.service.post("/v1/keys", {"name": "clerk", "scopes": ["directory"]}).json()["key"]
    )

    more = clerk.post("/v1/keys", {"name": "more", "scopes": ["directory", "search"]})
    same = clerk.post("/v1/keys", {"name": "same"})

    assert (more.status_code, more.json()["code"]) == (403, "scope_missing")
    assert same.json()["scopes"] == ["directory"]


def test_a_bad_key_is_refused(cast: Cast) -> None:
    for body in (
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "expires_at": "2020-01-01T00:00:00Z"},
        {"scopes": ["search"]},
    ):
        assert cast.here.service.post("/v1/keys", body).status_code == 400, body


def test_another_tenants_key_cannot_be_revoked(cast: Cast) -> None:
    mallorys = cast.there.service.post("/v1/keys", {"name": "m"}).json()

    refused = cast.here.service.delete(f"/v1/keys/{mallorys['id']}")

    assert (refused.status_code, refused.json()["code"]) == (404, "key_not_found")
    assert Api(mallorys["key"]).get("/v1/members").status_code == 200


def test_a_key_made_under_an_idempotency_key_is_not_shown_again(cast: Cast) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = cast.here.service.post("/v1/keys", {"name": "x"}, headers=headers)

    again = cast.here.service.post("/v1/keys", {"name": "x"}, headers=headers)

    assert first.status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "key_shown_once")
    named = [k["name"] for k in cast.here.service.get("/v1/keys").json()["results"]]
    assert named.count("x") == 1
