"""Exports over HTTP."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from ambit.corpus.types import SubjectRef
from tenants.ids import parse_id, public_id
from tenants.models import AuditEvent
from tests.cast import Api, Cast, as_service, publish
from tests.database.erasures import keep_from_workers
from tests.database.exporting import make

JO = "jo@example.test"
REQUEST = {"subject": {"type": "email", "value": JO}, "reason": f"Art. 15, asked by {JO}"}


def ask(cast: Cast, by: Api, body: dict[str, Any]) -> dict[str, Any]:
    response = by.post("/v1/exports", body)
    assert response.status_code == 202, response.content
    found: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/v1/exports/{found['id']}"
    with as_service(cast.here.id):
        keep_from_workers()
    return found


def made(cast: Cast, export: str) -> None:
    found = parse_id("export", export)
    assert found is not None
    make(cast.here.id, found)


def test_an_officer_asks_waits_and_downloads(cast: Cast) -> None:
    publish(cast.alice, cast.here, text="Jo's letter", subjects=(SubjectRef("email", JO),))
    export = ask(cast, cast.olivia, REQUEST)
    path = f"/v1/exports/{export['id']}"
    assert (export["state"], export["reason"]) == ("received", "Art. 15, asked by [subject]")
    assert cast.olivia.get(f"{path}/file").json()["code"] == "export_not_ready"

    made(cast, export["id"])

    shown = cast.olivia.get(path).json()
    assert (shown["state"], shown["progress"], shown["n_documents"]) == ("ready", 1.0, 1)
    assert JO not in str(shown)
    assert cast.olivia.get("/v1/exports").json()["results"] == [shown]
    answer = cast.olivia.get(f"{path}/file")
    body = answer.getvalue()
    assert len(body) == shown["n_bytes"] == int(answer.headers["Content-Length"])
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Cache-Control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        texts = [file.read(name) for name in file.namelist() if name.startswith("originals/")]
    assert texts == [b"Jo's letter"]
    with as_service(cast.here.id):
        found = AuditEvent.objects.filter(action="export.downloaded").get()
    assert (found.actor_kind, public_id("export", found.object_id or cast.here.id)) == (
        "member",
        export["id"],
    )


def test_the_same_request_makes_one_archive(cast: Cast) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = (cast.olivia.post("/v1/exports", REQUEST, headers=headers) for _ in range(2))

    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(cast.olivia.get("/v1/exports").json()["results"]) == 1


def test_a_service_with_the_scope_may_and_nobody_else_does(cast: Cast) -> None:
    export = ask(cast, cast.here.service, REQUEST)
    made(cast, export["id"])

    for caller in (cast.alice, cast.adam, cast.audrey, cast.here.service.acting_for("adam")):
        for path in ("", f"/{export['id']}", f"/{export['id']}/file"):
            assert caller.get(f"/v1/exports{path}").json()["code"] == "role_missing"
        assert caller.post("/v1/exports", REQUEST).status_code == 403
    assert cast.operator.get("/v1/exports").status_code == 403
    for path in ("", "/file"):
        answer = cast.there.service.get(f"/v1/exports/{export['id']}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"reason": "x"}, "invalid"),
        ({"subject": {}, "reason": "x"}, "invalid"),
        ({"subject": {"type": "email", "value": " "}, "reason": "x"}, "invalid"),
        ({"subject": {"type": "name", "value": "Jo"}, "reason": "x"}, "invalid"),
        ({"subject": REQUEST["subject"]}, "invalid"),
        (REQUEST | {"reason": " "}, "invalid"),
        (REQUEST | {"include_shared": "yes"}, "invalid"),
        (REQUEST | {"include_shared": 1}, "invalid"),
        (REQUEST | {"documents": []}, "unknown_field"),
    ],
)
def test_a_bad_request_makes_nothing(cast: Cast, body: dict[str, Any], code: str) -> None:
    response = cast.olivia.post("/v1/exports", body)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert cast.olivia.get("/v1/exports").json()["results"] == []


def test_another_tenants_member_is_as_unknown_as_nobody(cast: Cast) -> None:
    subject = {"type": "member", "value": cast.mallory.public_id}
    export = ask(cast, cast.olivia, {"subject": subject, "reason": "x"})
    made(cast, export["id"])

    body = cast.olivia.get(f"/v1/exports/{export['id']}/file").getvalue()

    with zipfile.ZipFile(io.BytesIO(body)) as file:
        about = file.read("about.json").decode()
        assert '"nothing_held": true' in about
        assert cast.mallory.email not in "".join(file.read(n).decode() for n in file.namelist())
