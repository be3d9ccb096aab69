"""The audit trail over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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


def done_to_documents(cast: Cast) -> list[dict[str, Any]]:
    """Return all events but those of reading events."""
    found: list[dict[str, Any]] = cast.audrey.get("/v1/audit/events", {"limit": 200}).json()[
        "results"
    ]
    return [event for event in found if event["action"] != "event.listed"]


def test_a_refused_call_leaves_no_event(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    before = done_to_documents(cast)

    assert cast.bob.delete(f"/v1/documents/{document}").status_code == 403
    assert cast.carol.get(f"/v1/documents/{document}").status_code == 404

    assert done_to_documents(cast) == before


def test_events_are_filtered_and_paged(cast: Cast) -> None:
    cast.alice.get("/v1/documents")
    cast.bob.get("/v1/documents")

    mine = cast.olivia.get("/v1/audit/events", {"actor": cast.alice.public_id}).json()["results"]
    page = cast.olivia.get("/v1/audit/events", {"limit": 2}).json()
    rest = cast.olivia.get("/v1/audit/events", {"limit": 200, "cursor": page["next"]}).json()
    # Asking for the two pages is two events of its own.
    _, _, *everything = cast.olivia.get("/v1/audit/events", {"limit": 200}).json()["results"]

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


def test_events_are_shown_as_ocsf_has_them(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    cast.here.service.acting_for("bob").get(f"/v1/documents/{document}")
    asked = {"action": "document.read", "object": document}
    (plain,) = cast.audrey.get("/v1/audit/events", asked).json()["results"]

    (event,) = cast.audrey.get("/v1/audit/events", asked | {"as": "ocsf"}).json()["results"]

    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (6003, 2, 600302)
    assert event["metadata"]["uid"] == plain["id"]
    assert event["metadata"]["tenant_uid"] == public_id("tenant", cast.here.id)
    assert event["actor"]["app_uid"] == plain["actor"]["id"]
    assert event["actor"]["user"] == {"uid": cast.bob.public_id}
    assert event["api"]["request"]["uid"] == plain["request_id"]
    assert event["resources"] == [{"uid": document, "type": "document"}]
    assert abs(event["time"] - datetime.fromisoformat(plain["at"]).timestamp() * 1000) < 1


def test_every_action_has_an_activity(cast: Cast) -> None:
    found = cast.olivia.get("/v1/audit/events", {"limit": 200, "as": "ocsf"}).json()["results"]

    activities = {event["metadata"]["event_code"]: event["activity_id"] for event in found}
    assert activities["tenant.created"] == activities["member.created"] == 1
    assert activities["group.member_added"] == 1
    assert set(activities.values()) <= {1, 2, 3, 4}
