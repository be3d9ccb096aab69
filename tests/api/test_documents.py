"""Documents over HTTP."""

from __future__ import annotations

from tests.cast import Cast


def test_an_upload_is_accepted_with_its_address(cast: Cast) -> None:
    body = {"collection": cast.here.collection, "title": "Leave", "text": "27 days"}

    response = cast.alice.post("/v1/documents", body)

    assert response.status_code == 202, response.content
    assert response.headers["Location"] == f"/v1/documents/{response.json()['id']}"
    assert response.json()["state"] == "received"
