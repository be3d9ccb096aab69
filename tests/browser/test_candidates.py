"""The page that requests an erasure, where an officer decides about documents that mention the person."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import Client

from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.browser.desk import signed_in
from tests.cast import Cast, publish

NEW = "/admin/erasures/new/"
JO = "jo@example.test"
FORM = {"kind": "email", "value": JO, "reason": "by letter", "identity": "verified"}
HELD = "Jo Lind leaves the key under the mat."


@pytest.fixture
def officer(cast: Cast) -> Client:
    return signed_in(cast.here, cast.olivia.id).client()


@pytest.fixture
def mentioning(cast: Cast) -> str:
    """Return a document that names Jo and declares nobody."""
    return public_id("document", publish(cast.alice, cast.here, text=HELD))


def post(client: Client, do: str, **more: str | list[str]) -> HttpResponse:
    return client.post(NEW, FORM | {"do": do} | more, follow=True)  # type: ignore[return-value]


def test_an_officer_is_shown_where_a_person_is_mentioned_without_its_text(
    cast: Cast, officer: Client, mentioning: str
) -> None:
    publish(cast.alice, cast.here, subjects=(SubjectRef("email", JO),))

    page = post(officer, "preview", mentions="Jo Lind\n").content.decode()

    assert f'name="also" value="{mentioning}"' in page
    assert "out of your reach" in page
    assert "under the mat" not in page
    assert cast.alice.get(f"/v1/documents/{mentioning}").status_code == 200


def test_what_is_ticked_is_counted_and_erased_and_what_is_not_stays(
    cast: Cast, officer: Client, mentioning: str
) -> None:
    other = public_id("document", publish(cast.alice, cast.here, text=f"{HELD} Again."))

    counted = post(officer, "preview", mentions="Jo Lind", also=[mentioning]).content.decode()
    case = post(officer, "confirm", mentions="Jo Lind", also=[mentioning]).content.decode()

    assert f'value="{mentioning}" aria-label="Erase doc_…{mentioning[-6:]} too" checked' in counted
    assert "1 of the documents does not declare the person: you ticked it." in counted
    assert "a person confirmed it" in case
    assert cast.alice.get(f"/v1/documents/{mentioning}").status_code == 404
    assert cast.alice.get(f"/v1/documents/{other}").status_code == 200


def test_a_line_that_cannot_be_looked_for_is_said_beside_the_field(
    officer: Client, mentioning: str
) -> None:
    answer = post(officer, "confirm", mentions="Jo", also=[mentioning])

    assert answer.status_code == 422
    assert "Each line is an e-mail address" in answer.content.decode()


def test_an_administrator_is_told_of_no_mentions(cast: Cast, mentioning: str) -> None:
    page = post(
        signed_in(cast.here, cast.adam.id).client(), "preview", mentions="Jo Lind"
    ).content.decode()

    assert "What would be destroyed" in page
    assert mentioning not in page
    assert "Look for mentions" not in page
