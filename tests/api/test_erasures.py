"""Erasures over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.cast import Cast, publish

JO = "jo@example.test"
REQUEST = {"subject": {"type": "email", "value": JO}, "reason": "Art. 17"}


def about_jo(cast: Cast) -> str:
    subject = SubjectRef("email", JO)
    return public_id("document", publish(cast.alice, cast.here, subjects=(subject,)))


def test_a_person_is_hidden_with_the_answer(cast: Cast) -> None:
    about, other = about_jo(cast), public_id("document", publish(cast.alice, cast.here))

    response = cast.olivia.post("/v1/erasures", REQUEST)

    assert response.status_code == 202
    case = response.json()
    assert response.headers["Location"] == f"/v1/erasures/{case['id']}"
    assert (case["state"], case["dry_run"], case["complete"]) == ("hidden", False, False)
    assert case["counts"]["document"] == 1
    assert JO not in response.content.decode()
    assert cast.alice.get(f"/v1/documents/{about}").status_code == 404
    assert cast.alice.get(f"/v1/documents/{other}").status_code == 200
    assert cast.olivia.get(response.headers["Location"]).json()["id"] == case["id"]
    assert cast.adam.get("/v1/erasures").json()["results"][0]["id"] == case["id"]


def test_a_dry_run_counts_and_hides_nothing(cast: Cast) -> None:
    about = about_jo(cast)

    response = cast.olivia.post("/v1/erasures", REQUEST | {"dry_run": True})

    assert response.status_code == 200
    assert (response.json()["id"], response.json()["dry_run"]) == (None, True)
    assert response.json()["counts"]["document"] == 1
    assert cast.alice.get(f"/v1/documents/{about}").status_code == 200
    assert cast.olivia.get("/v1/erasures").json()["results"] == []


def test_documents_are_erased_by_id(cast: Cast) -> None:
    document = about_jo(cast)

    response = cast.here.service.post(
        "/v1/erasures", {"documents": [document], "reason": "Mistake"}
    )

    assert response.status_code == 202
    assert response.json()["subject_type"] == "documents"
    assert cast.alice.get(f"/v1/documents/{document}").status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"documents": [], "reason": "x"}, "nothing_named"),
        ({"reason": "x"}, "nothing_named"),
        (REQUEST | {"documents": []}, "too_much_named"),
        ({"subject": {"type": "email", "value": " "}, "reason": "x"}, "invalid"),
        ({"subject": {"type": "email"}, "reason": "x"}, "invalid"),
        ({"subject": {}, "reason": "x"}, "invalid"),
        ({"subject": REQUEST["subject"]}, "invalid"),
        (REQUEST | {"reason": " "}, "invalid"),
        (REQUEST | {"dry_run": "yes"}, "invalid"),
        (REQUEST | {"dryrun": True}, "unknown_field"),
        (REQUEST | {"also_documents": []}, "nothing_named"),
        (REQUEST | {"also_documents": None}, "invalid"),
        ({"also_documents": ["doc_" + "0" * 32], "reason": "x"}, "nothing_named"),
        ({"documents": None, "reason": "x"}, "invalid"),
    ],
)
def test_a_bad_request_erases_nothing(cast: Cast, body: dict[str, Any], code: str) -> None:
    about = about_jo(cast)

    response = cast.olivia.post("/v1/erasures", body)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert cast.alice.get(f"/v1/documents/{about}").status_code == 200
    assert cast.olivia.get("/v1/erasures").json()["results"] == []


def test_one_unknown_or_foreign_id_erases_none_of_them(cast: Cast) -> None:
    ours = about_jo(cast)
    theirs = public_id("document", publish(cast.mallory, cast.there))

    for other in (theirs, "doc_" + "0" * 32, "nonsense"):
        response = cast.olivia.post("/v1/erasures", {"documents": [ours, other], "reason": "x"})
        assert (response.status_code, response.json()["code"]) == (404, "document_not_found")
        also = REQUEST | {"also_documents": [ours, other]}
        refused = cast.olivia.post("/v1/erasures", also)
        assert (refused.status_code, refused.json()["code"]) == (404, "document_not_found")
    assert cast.alice.get(f"/v1/documents/{ours}").status_code == 200
    assert cast.mallory.get(f"/v1/documents/{theirs}").status_code == 200


def test_a_receipt_is_not_there_before_the_end(cast: Cast) -> None:
    about_jo(cast)
    path = cast.olivia.post("/v1/erasures", REQUEST).headers["Location"]

    early = cast.olivia.get(f"{path}/receipt")
    done = cast.olivia.get(path).json()["complete"]
    unknown = cast.olivia.get(f"/v1/erasures/{'era_' + '0' * 32}/receipt")

    assert done or (early.status_code, early.json()["code"]) == (404, "receipt_not_ready")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "erasure_not_found")


def test_only_officers_and_administrators_erase_or_look(cast: Cast) -> None:
    path = cast.olivia.post("/v1/erasures", REQUEST).headers["Location"]

    for person in (cast.alice, cast.bob, cast.audrey):
        assert person.post("/v1/erasures", REQUEST).json()["code"] == "role_missing"
        assert person.get(path).json()["code"] == "role_missing"
    assert cast.there.service.get(path).json()["code"] == "erasure_not_found"
    assert cast.adam.get(path).status_code == 200


def test_a_repeated_request_opens_no_second_case(cast: Cast) -> None:
    about_jo(cast)
    headers = {"Idempotency-Key": "erase-jo"}

    first, again = (cast.olivia.post("/v1/erasures", REQUEST, headers=headers) for _ in range(2))

    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert len(cast.olivia.get("/v1/erasures").json()["results"]) == 1


def test_a_member_that_is_being_erased_is_not_let_back(cast: Cast) -> None:
    erasure = {"subject": {"type": "email", "value": cast.carol.email}, "reason": "Art. 17"}
    path = f"/v1/members/{cast.carol.public_id}"
    assert cast.olivia.post("/v1/erasures", erasure | {"dry_run": True}).status_code == 200
    cast.here.service.patch(path, {"suspended": True})
    assert cast.here.service.patch(path, {"suspended": False}).status_code == 200
    assert cast.olivia.post("/v1/erasures", erasure).status_code == 202

    refused = cast.here.service.patch(path, {"suspended": False})

    assert (refused.status_code, refused.json()["code"]) == (409, "member_being_erased")
    assert cast.here.service.get(path).json()["suspended_at"] is not None
    assert cast.carol.get("/v1/documents").status_code in {401, 403}


@pytest.mark.parametrize("stored", ["Zoe\u0308-7", "Zo\u00eb-7"])
@pytest.mark.parametrize("asked", ["Zoe\u0308-7", "Zo\u00eb-7"])
def test_a_person_is_found_however_the_letters_are_composed(
    cast: Cast, stored: str, asked: str
) -> None:
    body = {"external_id": stored, "email": "zoe@example.test", "name": "Zoe", "role": "member"}
    made = cast.here.service.post("/v1/members", body).json()["id"]

    erasure = {"subject": {"type": "external_id", "value": asked}, "reason": "Art. 17"}
    response = cast.here.service.post("/v1/erasures", erasure)

    assert response.status_code == 202
    assert response.json()["counts"]["member"] == 1
    assert cast.here.service.get(f"/v1/members/{made}").json()["suspended_at"] is not None
