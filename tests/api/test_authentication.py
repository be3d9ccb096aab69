"""Who is calling: keys, the member a service acts for, scopes and roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants import services
from tenants.ids import public_id
from tests.cast import Api, Cast, as_service

SEARCH = {"query": "annual leave", "mode": "text"}


def without_request_id(response: Any) -> dict[str, Any]:
    return {k: v for k, v in response.json().items() if k != "request_id"}


def test_every_kind_of_bad_key_gets_the_same_401(cast: Cast) -> None:
    other_tenant = cast.alice.key.replace(cast.here.id.hex, cast.there.id.hex)
    made_up_tenant = cast.alice.key.replace(cast.here.id.hex, "0" * 32)
    wrong_kind = cast.alice.key.replace("ambit_mbr_", "ambit_svc_")
    unknown = cast.alice.key[:-3] + "000"
    bad = [
        Api(key)
        for key in ("", "x", "ambit_op_x", other_tenant, made_up_tenant, wrong_kind, unknown)
    ]

    responses = [api.post("/v1/search", SEARCH) for api in bad]

    assert {r.status_code for r in responses} == {401}
    assert len({str(without_request_id(r)) for r in responses}) == 1
    assert {r.headers["WWW-Authenticate"] for r in responses} == {'Bearer realm="ambit"'}
    assert cast.alice.post("/v1/search", SEARCH).status_code == 200


def test_a_revoked_and_an_expired_key_are_refused(cast: Cast) -> None:
    with as_service(cast.here.id):
        soon = timezone.now() + timedelta(days=1)
        revoked = services.create_member_key(
            member_id=cast.alice.id, name="a", scopes=["search"], expires_at=soon
        )
        expired = services.create_member_key(
            member_id=cast.alice.id,
            name="b",
            scopes=["search"],
            expires_at=timezone.now() - timedelta(seconds=1),
        )
    assert Api(revoked.text).post("/v1/search", SEARCH).status_code == 200

    response = cast.adam.delete(f"/v1/keys/{public_id('key', revoked.id)}")

    assert response.status_code == 204
    assert Api(revoked.text).post("/v1/search", SEARCH).status_code == 401
    assert Api(expired.text).post("/v1/search", SEARCH).status_code == 401


def test_a_suspended_member_is_shut_out_by_its_own_key_and_by_name(cast: Cast) -> None:
    path = f"/v1/members/{cast.alice.public_id}"
    assert cast.here.service.patch(path, {"suspended": True}).status_code == 200

    own = cast.alice.post("/v1/search", SEARCH)
    named = cast.here.service.acting_for("alice").post("/v1/search", SEARCH)

    assert own.status_code == 401
    assert (named.status_code, named.json()["code"]) == (403, "member_unknown")
    assert cast.here.service.patch(path, {"suspended": False}).status_code == 200
    assert cast.alice.post("/v1/search", SEARCH).status_code == 200


def test_a_service_names_the_member_by_id_external_id_or_email(cast: Cast) -> None:
    for name in (cast.alice.public_id, "alice", "alice@example.test", "ALICE@example.test"):
        response = cast.here.service.acting_for(name).post("/v1/search", SEARCH)
        assert response.status_code == 200, name


def test_a_service_that_names_nobody_gets_400_and_not_everything(cast: Cast) -> None:
    response = cast.here.service.post("/v1/search", SEARCH)

    assert (response.status_code, response.json()["code"]) == (400, "member_required")


@pytest.mark.parametrize("name", ["", "nobody", "mem_" + "0" * 32, "mallory@example.test"])
def test_naming_somebody_unknown_or_of_another_tenant_is_refused_alike(
    cast: Cast, name: str
) -> None:
    response = cast.here.service.acting_for(name).post("/v1/search", SEARCH)
    foreign = cast.here.service.acting_for(cast.mallory.public_id).post("/v1/search", SEARCH)

    assert (response.status_code, response.json()["code"]) == (403, "member_unknown")
    assert without_request_id(foreign) == without_request_id(response)


def test_a_members_key_acts_for_nobody_else(cast: Cast) -> None:
    as_bob = cast.alice.acting_for("bob").post("/v1/search", SEARCH)
    as_herself = cast.alice.acting_for("alice").post("/v1/search", SEARCH)

    assert (as_bob.status_code, as_bob.json()["code"]) == (400, "member_mismatch")
    assert as_herself.status_code == 200


def test_a_missing_scope_is_named(cast: Cast) -> None:
    with as_service(cast.here.id):
        key = services.create_member_key(member_id=cast.alice.id, name="r", scopes=["answers"])

    response = Api(key.text).post("/v1/search", SEARCH)

    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
    assert "`search`" in response.json()["detail"]


def test_the_operator_reaches_tenants_and_nothing_in_them(cast: Cast) -> None:
    inside = cast.operator.post("/v1/search", SEARCH)
    outside = cast.alice.get("/v1/tenants")

    assert (inside.status_code, inside.json()["code"]) == (403, "operator_has_no_content")
    assert (outside.status_code, outside.json()["code"]) == (403, "operator_only")
    assert cast.operator.get("/v1/tenants").status_code == 200


def test_the_directory_is_for_administrators_and_services(cast: Cast) -> None:
    service = cast.here.service

    assert cast.alice.get("/v1/members").json()["code"] == "role_missing"
    assert service.acting_for("alice").get("/v1/members").json()["code"] == "role_missing"
    assert cast.adam.get("/v1/members").status_code == 200
    assert service.acting_for("adam").get("/v1/members").status_code == 200
    assert service.get("/v1/members").status_code == 200
