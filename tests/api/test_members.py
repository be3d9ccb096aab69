"""Members over HTTP."""

from __future__ import annotations

import pytest

from tests.cast import Cast

DORA = {"external_id": "d-1", "email": "Dora@Example.test", "name": "Dora", "role": "auditor"}


def test_a_member_is_added_shown_and_listed(cast: Cast) -> None:
    made = cast.here.service.post("/v1/members", DORA)

    assert made.status_code == 201
    member = made.json()
    assert made.headers["Location"] == f"/v1/members/{member['id']}"
    assert member | DORA | {"email": "dora@example.test"} == member
    assert member["suspended_at"] is None
    assert cast.here.service.get(f"/v1/members/{member['id']}").json() == member
    assert cast.here.service.get("/v1/members").json()["results"][0] == member


def test_a_second_member_of_the_same_id_or_address_is_refused(cast: Cast) -> None:
    assert cast.here.service.post("/v1/members", DORA).status_code == 201

    same_id = cast.here.service.post("/v1/members", DORA | {"email": "other@example.test"})
    same_address = cast.here.service.post("/v1/members", DORA | {"external_id": "d-2"})
    elsewhere = cast.there.service.post("/v1/members", DORA)

    assert (same_id.status_code, same_id.json()["code"]) == (409, "member_taken")
    assert same_address.status_code == 409
    assert elsewhere.status_code == 201


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"external_id": "x", "email": "no address"}, "email", "invalid"),
        ({"external_id": "", "email": "x@example.test"}, "external_id", "blank"),
        ({"email": "x@example.test"}, "external_id", "required"),
        ({"external_id": 7, "email": "x@example.test"}, "external_id", "invalid"),
        (
            {"external_id": "x\x00", "email": "x@e.test"},
            "external_id",
            "null_characters_not_allowed",
        ),
        ({"external_id": "x", "email": "x@e.test", "role": "king"}, "role", "invalid_choice"),
        ({"external_id": "x", "email": "x@e.test", "is_admin": True}, "is_admin", "unknown_field"),
    ],
)
def test_a_bad_member_is_refused_field_by_field(
    cast: Cast, body: dict[str, object], field: str, code: str
) -> None:
    response = cast.here.service.post("/v1/members", body)

    assert response.status_code == 400
    assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]


def test_a_role_is_changed(cast: Cast) -> None:
    path = f"/v1/members/{cast.bob.public_id}"

    response = cast.adam.patch(path, {"role": "auditor"})

    assert response.json()["role"] == "auditor"
    assert cast.bob.get("/v1/audit/events").status_code == 200
    assert cast.adam.patch(path, {}).status_code == 400


def test_a_list_is_paged_by_an_opaque_cursor(cast: Cast) -> None:
    everybody = [m["id"] for m in cast.adam.get("/v1/members").json()["results"]]

    first = cast.adam.get("/v1/members", {"limit": 4}).json()
    second = cast.adam.get("/v1/members", {"limit": 4, "cursor": first["next"]}).json()

    assert [m["id"] for m in first["results"] + second["results"]] == everybody
    assert second["next"] is None
    assert cast.adam.get("/v1/members", {"cursor": "x"}).json()["code"] == "bad_cursor"
    assert cast.adam.get("/v1/members", {"limit": 201}).status_code == 400
    assert cast.adam.get("/v1/members", {"page": 2}).json()["code"] == "unknown_field"


@pytest.mark.parametrize("member", ["mem_" + "0" * 32, "alice", "doc_" + "0" * 32, "%00"])
def test_an_unknown_member_and_another_tenants_answer_alike(cast: Cast, member: str) -> None:
    unknown = cast.adam.get(f"/v1/members/{member}")
    foreign = cast.adam.get(f"/v1/members/{cast.mallory.public_id}")

    assert unknown.status_code == foreign.status_code == 404
    assert unknown.json() | {"request_id": ""} == foreign.json() | {"request_id": ""}
