"""Webhooks over HTTP, and who was told of an erasure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ambit.corpus.types import SubjectRef
from ambit.notices.services import MOST_WEBHOOKS
from tenants.ids import parse_id
from tests.cast import Cast, as_service, publish
from tests.database.erasures import keep_from_workers, work_on

JO = "jo@example.test"
URL = "https://hooks.example.test/told?key=4711"
BODY = {"name": "Archive Ltd", "url": URL, "events": ["erasure.closed", "document.erased"]}


def test_a_recipient_is_made_shown_and_removed(cast: Cast) -> None:
    response = cast.olivia.post("/v1/webhooks", BODY)

    assert response.status_code == 201
    made = response.json()
    path = f"/v1/webhooks/{made['id']}"
    assert response.headers["Location"] == path
    assert made["secret"].startswith("whsec_")
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert shown == BODY | {"id": made["id"], "created_at": made["created_at"]}
    assert cast.adam.get(path).json() == shown
    assert cast.here.service.get("/v1/webhooks").json()["results"] == [shown]
    assert cast.olivia.delete(path).status_code == 204
    assert cast.olivia.get(path).json()["code"] == "webhook_not_found"
    assert cast.olivia.delete(path).status_code == 404
    assert cast.olivia.get("/v1/webhooks").json()["results"] == []


def test_the_secret_is_shown_once(cast: Cast) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = (cast.olivia.post("/v1/webhooks", BODY, headers=headers) for _ in range(2))

    assert first.status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "key_shown_once")
    assert len(cast.olivia.get("/v1/webhooks").json()["results"]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (BODY | {"url": "http://hooks.example.test/"}, "bad_webhook_url"),
        (BODY | {"url": "https://a:b@hooks.example.test/"}, "bad_webhook_url"),
        (BODY | {"url": " "}, "invalid"),
        (BODY | {"events": []}, "invalid"),
        (BODY | {"events": ["document.read"]}, "invalid"),
        (BODY | {"secret": "mine"}, "unknown_field"),
        ({"url": URL, "events": ["erasure.closed"]}, "invalid"),
    ],
)
def test_a_bad_request_makes_nothing(cast: Cast, body: dict[str, Any], code: str) -> None:
    response = cast.olivia.post("/v1/webhooks", body)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert cast.olivia.get("/v1/webhooks").json()["results"] == []


def test_who_was_told_is_listed_with_the_erasure(cast: Cast) -> None:
    webhook = cast.olivia.post("/v1/webhooks", BODY).json()["id"]
    publish(cast.alice, cast.here, subjects=(SubjectRef("email", JO),))
    request = {"subject": {"type": "email", "value": JO}, "reason": "Art. 17"}
    case = cast.olivia.post("/v1/erasures", request).json()["id"]
    path = f"/v1/erasures/{case}/notices"
    assert cast.olivia.get(path).json() == {"results": []}
    with as_service(cast.here.id):
        keep_from_workers()

    work_on(cast.here.id, _uuid(case))

    told = cast.olivia.get(path).json()["results"]
    assert [(one["event"], one["state"], one["documents"]) for one in told] == [
        ("document.erased", "waiting", 1),
        ("erasure.closed", "waiting", 0),
    ]
    assert {(one["webhook"], one["recipient"]) for one in told} == {(webhook, "Archive Ltd")}
    assert cast.alice.get(path).status_code == 403
    assert cast.there.service.get(path).json()["code"] == "erasure_not_found"


def _uuid(case: str) -> UUID:
    found = parse_id("erasure", case)
    assert found is not None
    return found


def test_a_tenant_has_so_many_webhooks_and_no_more(cast: Cast) -> None:
    made = [cast.olivia.post("/v1/webhooks", BODY) for _ in range(MOST_WEBHOOKS)]
    refused = cast.olivia.post("/v1/webhooks", BODY)

    assert {one.status_code for one in made} == {201}
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")
    assert cast.olivia.delete(f"/v1/webhooks/{made[0].json()['id']}").status_code == 204
    assert cast.olivia.post("/v1/webhooks", BODY).status_code == 201
    assert cast.mallory.post("/v1/webhooks", BODY).status_code == 403
    assert cast.there.service.post("/v1/webhooks", BODY).status_code == 201
