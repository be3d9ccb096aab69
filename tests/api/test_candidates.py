"""Candidates over HTTP: for privacy officers, with ids and kinds, and without a word of text."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection, transaction

from ambit.corpus import mentions
from tenants.ids import public_id
from tests.cast import Cast, as_service, publish

JO = "jo@example.test"
ASKED = {
    "identifiers": [
        {"type": "email", "value": JO},
        {"type": "phone", "value": "+49 30 1234567"},
        {"type": "name", "value": "Jo Lind"},
    ]
}
PATH = "/v1/erasures/candidates"
SECRET = "Jo Lind (JO@example.test) keeps the key under the mat."


def test_an_officer_sees_where_a_person_is_mentioned_and_by_what(cast: Cast) -> None:
    mentioning = public_id("document", publish(cast.alice, cast.here, text=SECRET))
    publish(cast.alice, cast.here)
    publish(cast.mallory, cast.there, text=SECRET)

    response = cast.olivia.post(PATH, ASKED)

    assert response.status_code == 200
    found = response.json()
    assert found["candidates"] == [
        {
            "document": mentioning,
            "title": None,
            "found_by": {"email": 1, "name": 1},
            "declares_others": False,
        }
    ]
    assert found["n_found"] == 1
    assert "mat" not in response.content.decode()
    assert cast.alice.get(f"/v1/documents/{mentioning}").status_code == 200


def test_what_was_confirmed_is_erased_with_the_person(cast: Cast) -> None:
    mentioning, other = (
        public_id("document", publish(cast.alice, cast.here, text=text))
        for text in (SECRET, "Nothing of the kind.")
    )
    confirmed = [one["document"] for one in cast.olivia.post(PATH, ASKED).json()["candidates"]]
    body = {"subject": {"type": "email", "value": JO}, "reason": "Art. 17"}

    case = cast.olivia.post("/v1/erasures", body | {"also_documents": confirmed})

    assert case.status_code == 202
    assert (case.json()["counts"], case.json()["n_confirmed_documents"]) == ({"document": 1}, 1)
    assert cast.alice.get(f"/v1/documents/{mentioning}").status_code == 404
    assert cast.alice.get(f"/v1/documents/{other}").status_code == 200
    assert cast.olivia.post(PATH, ASKED).json()["candidates"] == []


def test_a_tenants_service_looks_for_an_officer_and_never_by_itself(cast: Cast) -> None:
    publish(cast.alice, cast.here, text=SECRET)

    alone = cast.here.service.post(PATH, ASKED)
    (found,) = cast.here.service.acting_for("olivia").post(PATH, ASKED).json()["candidates"]

    assert (alone.status_code, alone.json()["code"]) == (400, "member_required")
    assert found["title"] is None
    assert cast.here.service.acting_for("alice").post(PATH, ASKED).status_code == 403


def test_names_that_take_too_long_are_looked_for_no_longer(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(cast.alice, cast.here, text=SECRET)
    names = [{"type": "name", "value": f"Jo Lind{n}"} for n in range(50)]
    body = {"identifiers": names}
    monkeypatch.setattr(mentions, "LONGEST_S", 0.002)

    response = cast.olivia.post(PATH, body)

    assert (response.status_code, response.json()["code"]) == (503, "looked_too_long")
    monkeypatch.undo()
    assert cast.olivia.post(PATH, body).status_code == 200


def test_postgres_ends_a_look_and_its_limit_ends_with_it(
    cast: Cast,
) -> None:
    with (
        as_service(cast.here.id),
        pytest.raises(mentions.LookedTooLong),
        transaction.atomic(),
        mentions._ended_at(time.monotonic() + 0.1),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(5)")
    with as_service(cast.here.id), mentions._ended_at(time.monotonic() + 5):
        pass
    with as_service(cast.here.id), connection.cursor() as cursor:
        with mentions._ended_at(time.monotonic() + 5):
            pass
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_nobody_but_privacy_officers_looks(cast: Cast) -> None:
    publish(cast.alice, cast.here, text=SECRET)

    for person in (cast.alice, cast.bob, cast.audrey, cast.adam):
        assert person.post(PATH, ASKED).json()["code"] == "role_missing"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"identifiers": []}, "invalid"),
        ({"identifiers": [{"type": "email"}]}, "invalid"),
        ({"identifiers": [{"type": "shoe size", "value": "44"}]}, "invalid"),
        ({"identifiers": [{"type": "email", "value": " "}]}, "invalid"),
        ({"identifiers": ASKED["identifiers"] * 20}, "invalid"),
        (ASKED | {"documents": []}, "unknown_field"),
        ({"identifiers": [{"type": "name", "value": "Jo"}]}, "cannot_be_looked_for"),
        ({"identifiers": [{"type": "email", "value": "jo"}]}, "cannot_be_looked_for"),
    ],
)
def test_a_bad_request_says_why(cast: Cast, body: dict[str, Any], code: str) -> None:
    response = cast.olivia.post(PATH, body)

    assert (response.status_code, response.json()["code"]) == (400, code)
