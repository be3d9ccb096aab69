"""Holds and restrictions over HTTP: same answers as of nothing, at every door of the API."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.cast import Cast, publish

JO = "jo@example.test"
HOLD = {"basis": "e", "review_at": "2999-01-01T00:00:00Z", "reason": "a claim"}
RESTRICTION = {"reason": "disputed"}
KINDS = {"holds": (HOLD, "release"), "restrictions": (RESTRICTION, "lift")}


def about_jo(cast: Cast) -> str:
    subject = SubjectRef("email", JO)
    return public_id("document", publish(cast.alice, cast.here, subjects=(subject,)))


def answers_about(cast: Cast, document: str) -> dict[str, tuple[int, str]]:
    """Return what each door of the API says to Alice, who owns the document."""
    path = f"/v1/documents/{document}"
    asked = {
        "record": cast.alice.get(path),
        "original": cast.alice.get(f"{path}/content"),
        "text": cast.alice.get(f"{path}/content", {"as": "text"}),
        "replace": cast.alice.put(f"{path}/content", {"text": "words"}),
        "grants": cast.alice.put(f"{path}/grants", {"grants": None}),
        "retry": cast.alice.post(f"{path}/retry"),
        "delete": cast.alice.delete(path),
    }
    return {name: (a.status_code, a.json()["code"]) for name, a in asked.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_held_answers_at_every_door_as_what_does_not_exist(cast: Cast, kind: str) -> None:
    document, other = about_jo(cast), public_id("document", publish(cast.alice, cast.here))
    body, _ = KINDS[kind]

    placed = cast.olivia.post(f"/v1/{kind}", body | {"documents": [document]})

    assert placed.status_code == 201, placed.content
    assert placed.headers["Location"] == f"/v1/{kind}/{placed.json()['id']}"
    assert placed.json()["documents"] == [document]
    assert answers_about(cast, document) == answers_about(cast, "doc_" + "0" * 32)
    listed = [d["id"] for d in cast.alice.get("/v1/documents").json()["results"]]
    assert listed == [other]
    found = cast.alice.post("/v1/search", {"query": "annual leave", "mode": "text"}).json()
    assert {p["document"]["id"] for p in found["results"]} == {other}
    record = cast.adam.get(f"/v1/documents/{document}", {"as": "custodian"}).json()
    assert (record["deleted_at"], record["restricted_at"] is not None) == (None, True)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_ended_once_and_the_document_comes_back(cast: Cast, kind: str) -> None:
    document = about_jo(cast)
    body, verb = KINDS[kind]
    path = cast.olivia.post(f"/v1/{kind}", body | {"documents": [document]}).headers["Location"]

    ended = cast.adam.post(f"{path}/{verb}")
    again = cast.adam.post(f"{path}/{verb}")

    assert ended.status_code == 200
    assert ended.json()["released_at" if kind == "holds" else "lifted_at"] is not None
    assert (again.status_code, again.json()["code"]) == (409, "already_lifted")
    assert cast.alice.get(f"/v1/documents/{document}").status_code == 200
    assert cast.olivia.get(path).json() == ended.json()
    assert [one["id"] for one in cast.olivia.get(f"/v1/{kind}").json()["results"]] == [
        ended.json()["id"]
    ]


def test_a_hold_on_a_person_names_the_member_and_its_documents(cast: Cast) -> None:
    document = public_id(
        "document",
        publish(cast.alice, cast.here, subjects=(SubjectRef("email", cast.carol.email),)),
    )
    subject = {"type": "member", "value": cast.carol.public_id}

    placed = cast.olivia.post("/v1/holds", HOLD | {"subject": subject}).json()

    assert (placed["members"], placed["documents"]) == ([cast.carol.public_id], [document])
    assert (placed["basis"], placed["reason"]) == ("e", "a claim")


def test_an_erasure_says_what_is_held_and_a_hold_comes_too_late_after_it(cast: Cast) -> None:
    held, other = about_jo(cast), about_jo(cast)
    cast.olivia.post("/v1/holds", HOLD | {"documents": [held]})
    erasure = {"subject": {"type": "email", "value": JO}, "reason": "Art. 17"}

    case = cast.olivia.post("/v1/erasures", erasure).json()
    late = cast.olivia.post("/v1/holds", HOLD | {"documents": [other]})
    twice = cast.olivia.post("/v1/holds", HOLD | {"documents": [held]})

    assert case["held"] == [{"basis": "e", "documents": 1, "members": 0}]
    assert (late.status_code, late.json()["code"]) == (409, "being_erased")
    assert twice.status_code == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"basis": "f"}, "invalid"),
        ({"basis": ""}, "invalid"),
        ({"basis": None}, "invalid"),
        ({"review_at": "2020-01-01T00:00:00Z"}, "review_not_ahead"),
        ({"review_at": "soon"}, "invalid"),
        ({"reason": " "}, "invalid"),
        ({"documents": []}, "nothing_named"),
        ({"subject": {"type": "email", "value": JO}}, "too_much_named"),
        ({"documents": None}, "invalid"),
        ({"until": "2030-01-01"}, "unknown_field"),
    ],
)
def test_a_bad_hold_hides_nothing(cast: Cast, change: dict[str, Any], code: str) -> None:
    document = about_jo(cast)

    response = cast.olivia.post("/v1/holds", HOLD | {"documents": [document]} | change)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert cast.alice.get(f"/v1/documents/{document}").status_code == 200
    assert cast.olivia.get("/v1/holds").json()["results"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_unknown_or_foreign_id_or_an_unknown_person_hides_nothing(
    cast: Cast, kind: str
) -> None:
    ours = about_jo(cast)
    theirs = public_id("document", publish(cast.mallory, cast.there))
    body, _ = KINDS[kind]

    for other in (theirs, "doc_" + "0" * 32, "nonsense"):
        response = cast.olivia.post(f"/v1/{kind}", body | {"documents": [ours, other]})
        assert (response.status_code, response.json()["code"]) == (404, "document_not_found")
    nobody = {"type": "email", "value": "nobody@example.test"}
    unknown = cast.olivia.post(f"/v1/{kind}", body | {"subject": nobody})

    assert (unknown.status_code, unknown.json()["code"]) == (409, "nothing_to_restrict")
    assert cast.alice.get(f"/v1/documents/{ours}").status_code == 200
    assert cast.mallory.get(f"/v1/documents/{theirs}").status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_only_officers_and_administrators_of_the_tenant_place_see_and_end(
    cast: Cast, kind: str
) -> None:
    body, verb = KINDS[kind]
    whole = body | {"documents": [about_jo(cast)]}
    path = cast.olivia.post(f"/v1/{kind}", whole).headers["Location"]
    missing = kind.removesuffix("s") + "_not_found"

    for person in (cast.alice, cast.bob, cast.audrey):
        assert person.post(f"/v1/{kind}", whole).json()["code"] == "role_missing"
        assert person.get(path).json()["code"] == "role_missing"
        assert person.post(f"{path}/{verb}").json()["code"] == "role_missing"
    assert cast.there.service.get(path).json()["code"] == missing
    assert cast.there.service.post(f"{path}/{verb}").json()["code"] == missing
    assert cast.there.service.get(f"/v1/{kind}").json()["results"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_repeated_request_places_no_second_one(cast: Cast, kind: str) -> None:
    body = KINDS[kind][0] | {"documents": [about_jo(cast)]}
    headers = {"Idempotency-Key": "once"}

    first, again = (cast.olivia.post(f"/v1/{kind}", body, headers=headers) for _ in range(2))

    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(cast.olivia.get(f"/v1/{kind}").json()["results"]) == 1
