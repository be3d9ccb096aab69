"""A real worker that dies between telling a recipient and noting it: told again, and known by its id."""

from __future__ import annotations

from tests.database.receiving import receiving
from tests.flows.service import Service, Tenant, wait_until

EVENTS = ["document.erased", "erasure.closed"]


def test_a_recipient_makes_one_of_two_when_the_worker_was_killed_in_between(
    service: Service, tenant: Tenant
) -> None:
    with receiving("hang") as receiver:
        tenant.itself.post("/v1/webhooks", name="Archive", url=receiver.url, events=EVENTS)
        document = tenant.alice.upload(tenant.collection, "A letter to forget.")
        tenant.alice.wait(document)
        case = tenant.itself.post("/v1/erasures", documents=[document], reason="test")["id"]

        wait_until(lambda: receiver.received, "the first notice")
        service.kill_worker()

        wait_until(
            lambda: [one["state"] for one in _notices(tenant, case)] == ["told", "told"],
            "both notices told",
        )

    notices = _notices(tenant, case)
    assert [one["event"] for one in notices] == EVENTS
    assert receiver.ids[0] in receiver.ids[1:]
    assert set(receiver.ids) == {one["id"] for one in notices}
    assert len({body for _, body in receiver.received}) == 2
    assert sorted(one["type"] for one in receiver.effective) == EVENTS
    assert receiver.effective[0]["data"]["erasure"] == case


def _notices(tenant: Tenant, case: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = tenant.itself.call("GET", f"/v1/erasures/{case}/notices")[
        "results"
    ]
    return found
