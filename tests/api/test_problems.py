"""Every refusal is a problem that says what to do, and none says too much."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import RequestFactory

from ambit.api import problems
from ambit.api.members import MembersView
from ambit.api.problem_table import TABLE
from tests.cast import Api, Cast

FIELDS = {"type", "title", "status", "detail", "code", "request_id", "errors"}


def assert_problem(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(response.json()) == FIELDS
    assert response.json()["status"] == status
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Cache-Control"] == "no-store"


def test_an_address_that_nothing_has_is_a_problem(cast: Cast) -> None:
    for path in ("/v1/nothing", "/nothing", "/v1/documents/a/b/c", "/v1/documents/", "/v1/%ff"):
        assert_problem(cast.alice.get(path), 404, "not_found")


def test_a_method_that_is_not_there_is_a_problem_that_names_those_that_are(cast: Cast) -> None:
    response = cast.alice.delete("/v1/members")

    assert_problem(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert_problem(Api("").delete("/v1/members"), 401, "unauthenticated")
    assert_problem(cast.alice.call("OPTIONS", "/v1/members"), 405, "method_not_allowed")


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "text/csv"])
def test_a_body_of_another_kind_is_a_problem(cast: Cast, media_type: str) -> None:
    response = cast.alice.post("/v1/search", b"query=x", content_type=media_type)

    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "\xff"}',
        b'\xff\xfe{"\x00}\x00',
        b"{",
        b"",
        b"[]",
        b'"x"',
        b"null",
        b'{"query": NaN}',
        b'{"k": Infinity, "query": "x"}',
        b"[" * 100_000,
        b'{"k": 1' + b"0" * 5000 + b', "query": "x"}',
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem(cast: Cast, body: bytes) -> None:
    response = cast.alice.post("/v1/search", body, content_type="application/json; charset=latin-1")

    assert response.status_code == 400
    assert response.json()["code"] in {"malformed_body", "invalid"}


def test_a_form_that_cannot_be_read_is_a_problem(cast: Cast) -> None:
    for body, kind in (
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
        (
            b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1",
            "multipart/form-data; boundary=\xff",
        ),
    ):
        response = cast.alice.post("/v1/documents", body, content_type=kind)
        assert response.status_code == 400, kind


def test_a_field_given_twice_is_not_guessed(cast: Cast) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n%s\r\n'
    body = part % b"one" + part % b"two" + b"--b--\r\n"

    response = cast.alice.post(
        "/v1/documents", body, content_type="multipart/form-data; boundary=b"
    )

    assert_problem(response, 400, "malformed_body")
    assert_problem(cast.alice.get("/v1/documents?limit=1&limit=2"), 400, "invalid")


def test_a_fault_of_ours_says_nothing_and_is_logged_without_words(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: MembersView, request: object) -> None:
        raise RuntimeError("secret content")

    monkeypatch.setattr(MembersView, "get", broken)
    with caplog.at_level(logging.INFO):
        response = cast.adam.get("/v1/members")

    assert_problem(response, 500, "internal")
    assert "secret" not in response.content.decode()
    (fault,) = [r for r in caplog.records if r.getMessage() == "api.fault"]
    assert fault.error == "RuntimeError"  # type: ignore[attr-defined]  # an extra field
    assert "secret" not in str(vars(fault)) + caplog.text


def test_a_change_is_undone_when_its_answer_fails(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: MembersView, *args: object, **kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(MembersView, "show", broken)
    body = {"external_id": "x", "email": "x@example.test"}
    assert cast.adam.post("/v1/members", body).status_code == 500
    monkeypatch.undo()

    assert cast.adam.post("/v1/members", body).status_code == 201


def test_a_fault_outside_the_views_is_a_problem_too() -> None:
    response = problems.server_error(RequestFactory().get("/"))

    assert (response.status_code, json.loads(response.content)["code"]) == (500, "internal")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_each_problem_is_told_in_whole_sentences() -> None:
    for kind, problem in TABLE.items():
        assert 400 <= problem.status < 600, kind
        assert problem.detail.endswith((".", "…", "`")), kind
        assert not problem.title.endswith("."), kind


def test_the_page_behind_a_problems_type_explains_it(cast: Cast) -> None:
    problem = cast.alice.get("/v1/nothing").json()
    page, _, anchor = problem["type"].partition("#")

    response = Api("").get(page)

    assert response.status_code == 200
    assert f'id="{anchor}"' in response.content.decode()


def test_the_callers_request_id_is_not_taken_over(cast: Cast) -> None:
    response = cast.alice.get("/v1/documents", headers={"X-Request-Id": "mine"})

    assert len(response.headers["X-Request-Id"]) == 36
