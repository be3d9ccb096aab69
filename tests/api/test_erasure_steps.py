"""What an officer decides about an open erasure, over HTTP: who asked, a refusal, more time."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.cast import Cast, publish

JO = "jo@example.test"
PENDING = {"subject": {"type": "email", "value": JO}, "reason": "Art. 17", "identity": "pending"}
REASON = {"reason": "the passport did not match"}
STEPS = {"identity": {"verified": True}, "refusal": REASON, "extension": REASON}


def about_jo(cast: Cast) -> str:
    subject = SubjectRef("email", JO)
    return "/v1/documents/" + public_id(
        "document", publish(cast.alice, cast.here, subjects=(subject,))
    )


def receive(cast: Cast) -> str:
    """Open a case whose identity check runs; return its path."""
    response = cast.olivia.post("/v1/erasures", PENDING)
    assert response.status_code == 202, response.content
    return str(response.headers["Location"])


def test_a_pending_request_is_received_and_hides_nothing_until_it_is_verified(cast: Cast) -> None:
    about = about_jo(cast)
    path = receive(cast)
    received = cast.olivia.get(path).json()
    seen_before = cast.alice.get(about).status_code

    verified = cast.olivia.post(f"{path}/identity", {"verified": True})

    assert (received["state"], received["clock"], received["due_at"]) == (
        "received",
        "stopped",
        None,
    )
    assert seen_before == 200
    assert verified.status_code == 200
    assert (verified.json()["state"], verified.json()["clock"]) == ("hidden", "running")
    assert verified.json()["counts"] == {"document": 1}
    assert cast.alice.get(about).status_code == 404


def test_a_refused_request_has_a_receipt_and_erases_nothing(cast: Cast) -> None:
    about = about_jo(cast)
    path = receive(cast)

    refused = cast.olivia.post(f"{path}/refusal", REASON)

    assert (refused.json()["state"], refused.json()["clock"]) == ("refused", "ended")
    assert refused.json()["refusal_reason"] == REASON["reason"]
    receipt = cast.olivia.get(f"{path}/receipt")
    assert receipt.json()["outcome"] == "refused"
    assert REASON["reason"] not in receipt.content.decode()
    assert cast.alice.get(about).status_code == 200
    for step in ("identity", "refusal"):
        again = cast.olivia.post(f"{path}/{step}", STEPS[step])
        assert (again.status_code, again.json()["code"]) == (409, "erasure_not_pending")
    late = cast.olivia.post(f"{path}/extension", REASON)
    assert (late.status_code, late.json()["code"]) == (409, "erasure_over")


def test_what_was_hidden_is_not_refused_any_more(cast: Cast) -> None:
    about_jo(cast)
    path = cast.olivia.post("/v1/erasures", PENDING | {"identity": "verified"}).headers["Location"]

    refused = cast.olivia.post(f"{path}/refusal", REASON)

    assert (refused.status_code, refused.json()["code"]) == (409, "erasure_not_pending")


def test_an_extension_is_given_once_with_its_reason(cast: Cast) -> None:
    path = receive(cast)
    verified = cast.olivia.post(f"{path}/identity", {"verified": True}).json()

    extended = cast.olivia.post(f"{path}/extension", REASON)
    again = cast.olivia.post(f"{path}/extension", REASON)

    assert extended.status_code == 200 or extended.json()["code"] == "erasure_over"
    if extended.status_code == 200:
        assert extended.json()["due_at"] > verified["due_at"]
        assert extended.json()["extension_reason"] == REASON["reason"]
        assert again.status_code == 409
        assert again.json()["code"] in {"already_extended", "erasure_over"}


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("identity", {}),
        ("identity", {"verified": False}),
        ("identity", {"verified": "true"}),
        ("identity", {"verified": 1}),
        ("identity", {"verified": True, "by": "me"}),
        ("refusal", {}),
        ("refusal", {"reason": " "}),
        ("extension", {"reason": ""}),
        ("extension", {"reason": 7}),
    ],
)
def test_a_step_that_is_not_clear_changes_nothing(
    cast: Cast, step: str, body: dict[str, Any]
) -> None:
    path = receive(cast)
    before = cast.olivia.get(path).json()

    response = cast.olivia.post(f"{path}/{step}", body)

    assert response.status_code == 400
    assert cast.olivia.get(path).json() == before


@pytest.mark.parametrize("step", STEPS)
def test_steps_are_for_officers_and_administrators_of_the_tenant(cast: Cast, step: str) -> None:
    path, body = receive(cast), STEPS[step]
    nothing = f"/v1/erasures/era_{'0' * 32}/{step}"

    for person in (cast.alice, cast.bob, cast.audrey):
        assert person.post(f"{path}/{step}", body).json()["code"] == "role_missing"
    theirs = cast.there.service.post(f"{path}/{step}", body)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "erasure_not_found")
    assert theirs.json()["code"] == cast.there.service.post(nothing, body).json()["code"]
    assert cast.olivia.get(path).json()["state"] == "received"
    assert cast.adam.post(f"{path}/{step}", body).status_code == 200


def test_an_identity_that_is_neither_is_refused(cast: Cast) -> None:
    response = cast.olivia.post("/v1/erasures", PENDING | {"identity": "unknown"})

    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert cast.olivia.get("/v1/erasures").json()["results"] == []
