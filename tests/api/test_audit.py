"""The audit trail over HTTP."""

from __future__ import annotations

from tenants.ids import public_id
from tests.cast import Cast, publish


def test_every_change_and_every_read_is_one_event(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    path = f"/v1/documents/{document}"
    calls = [
        (cast.bob.get(path), "document.read"),
        (cast.bob.get(f"{path}/content"), "content.read"),
        (cast.alice.put(f"{path}/grants", {"grants": None}), "document.grants_changed"),
        (cast.alice.put(f"{path}/content", {"text": "x"}), "document.version_received"),
        (cast.alice.delete(path), "document.deleted"),
    ]

    for response, action in calls:
        assert response.status_code < 300, action
        found = cast.audrey.get("/v1/audit/events", {"action": action, "object": document}).json()
        (event,) = found["results"]
        assert event["request_id"] == response.headers["X-Request-Id"]
        assert (event["object"], event["documents"]) == (document, [document])


def test_a_refused_call_leaves_no_event(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    before = cast.audrey.get("/v1/audit/events").json()["results"]

    assert cast.bob.delete(f"/v1/documents/{document}").status_code == 403
    assert cast.carol.get(f"/v1/documents/{document}").status_code == 404

    assert cast.audrey.get("/v1/audit/events").json()["results"] == before


def test_events_are_filtered_and_paged(cast: Cast) -> None:
    cast.alice.get("/v1/documents")
    cast.bob.get("/v1/documents")

    mine = cast.olivia.get("/v1/audit/events", {"actor": cast.alice.public_id}).json()["results"]
    page = cast.olivia.get("/v1/audit/events", {"limit": 2}).json()
    rest = cast.olivia.get("/v1/audit/events", {"limit": 200, "cursor": page["next"]}).json()
    everything = cast.olivia.get("/v1/audit/events", {"limit": 200}).json()["results"]

    assert {e["actor"]["id"] for e in mine if e["action"] == "document.listed"} == {
        cast.alice.public_id
    }
    assert page["results"] + rest["results"] == everything
    assert cast.olivia.get("/v1/audit/events", {"since": "2999-01-01T00:00:00Z"}).json() == {
        "results": [],
        "next": None,
    }
    assert cast.olivia.get("/v1/audit/events", {"actor": "alice"}).status_code == 400


def test_members_and_other_tenants_read_nothing_of_it(cast: Cast) -> None:
    assert cast.alice.get("/v1/audit/events").json()["code"] == "role_missing"
    theirs = cast.there.service.get("/v1/audit/events", {"limit": 200}).json()["results"]
    ours = cast.here.service.get("/v1/audit/events", {"limit": 200}).json()["results"]

    assert not {e["id"] for e in theirs} & {e["id"] for e in ours}
