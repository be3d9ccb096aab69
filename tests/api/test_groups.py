"""Groups over HTTP."""

from __future__ import annotations

from tests.cast import Cast


def test_members_and_groups_are_put_into_groups_and_taken_out(cast: Cast) -> None:
    service = cast.here.service
    outer = service.post("/v1/groups", {"external_id": "o", "name": "Outer"}).json()
    inner = service.post("/v1/groups", {"external_id": "i", "name": "Inner"}).json()
    place = f"/v1/groups/{outer['id']}"

    for _ in range(2):
        assert service.put(f"{place}/members/{cast.carol.public_id}").status_code == 204
        assert service.put(f"{place}/groups/{inner['id']}").status_code == 204

    shown = service.get(place).json()
    assert shown["members"] == [cast.carol.public_id]
    assert shown["groups"] == [inner["id"]]
    assert service.delete(f"{place}/members/{cast.carol.public_id}").status_code == 204
    assert service.delete(f"{place}/groups/{inner['id']}").status_code == 204
    assert service.get(place).json() == shown | {"members": [], "groups": []}


def test_a_group_cannot_contain_itself(cast: Cast) -> None:
    service = cast.here.service
    a, b, c = (
        service.post("/v1/groups", {"external_id": n, "name": n}).json()["id"] for n in "abc"
    )
    service.put(f"/v1/groups/{a}/groups/{b}")
    service.put(f"/v1/groups/{b}/groups/{c}")

    around = service.put(f"/v1/groups/{c}/groups/{a}")
    itself = service.put(f"/v1/groups/{a}/groups/{a}")

    assert (around.status_code, around.json()["code"]) == (409, "group_cycle")
    assert itself.status_code == 409


def test_another_tenants_groups_and_members_do_not_exist_here(cast: Cast) -> None:
    service = cast.here.service
    foreign_member = f"/v1/groups/{cast.here.group}/members/{cast.mallory.public_id}"
    foreign_group = f"/v1/groups/{cast.there.group}/members/{cast.carol.public_id}"
    foreign_child = f"/v1/groups/{cast.here.group}/groups/{cast.there.group}"

    for method in ("PUT", "DELETE"):
        assert service.call(method, foreign_member).json()["code"] == "member_not_found"
        assert service.call(method, foreign_group).json()["code"] == "group_not_found"
        assert service.call(method, foreign_child).json()["code"] == "group_not_found"
    assert service.get(f"/v1/groups/{cast.there.group}").status_code == 404


def test_a_taken_external_id_is_refused(cast: Cast) -> None:
    again = cast.here.service.post("/v1/groups", {"external_id": "nurses", "name": "N"})

    assert (again.status_code, again.json()["code"]) == (409, "group_taken")
