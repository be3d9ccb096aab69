"""The end of a tenant over HTTP, as the operator; every door of it is shut with the answer."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pypdfium2
import pytest
from django.db import connections

from ambit.config.settings import EMBEDDED
from tenants.ids import parse_id, public_id
from tenants.scope import tenant_scope
from tests.audit.trails import sign_all
from tests.browser.desk import operator, signed_in
from tests.cast import Api, Cast
from tests.database.erasures import keep_from_workers
from tests.database.offboardings import slug_of, work_to_the_end
from tests.database.private import superuser_url


def _path(tenant_id: UUID, rest: str = "") -> str:
    return f"/v1/tenants/{public_id('tenant', tenant_id)}/offboarding{rest}"


def _begin(cast: Cast, tenant_id: UUID) -> Any:
    answer = cast.operator.post(_path(tenant_id), {"slug": slug_of(tenant_id)})
    with tenant_scope(tenant_id):
        keep_from_workers()
    return answer


def _upload(cast: Cast) -> str:
    body = {
        "collection": cast.here.collection,
        "title": "Handbook",
        "text": "The harbor opens at six.",
    }
    made = cast.alice.post("/v1/documents", body)
    assert made.status_code in {201, 202}
    with tenant_scope(cast.here.id):
        keep_from_workers()
    return str(made.json()["id"])


def test_with_the_answer_every_door_is_shut_and_the_neighbours_stay_open(cast: Cast) -> None:
    here, elsewhere = cast.here, cast.there
    adam = signed_in(here, cast.adam.id).client()
    _upload(cast)
    assert adam.get("/admin/documents/").status_code == 200
    found = cast.alice.post("/v1/search", {"query": "harbor", "mode": "text"})
    unknown = Api(f"ambit_svc_{here.id.hex}_{'A' * 43}")

    answer = _begin(cast, here.id)

    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["complete"]) == ("hidden", False)
    assert found.status_code == 200
    for caller in (cast.alice, cast.bob, cast.carol, here.service):
        for path in ("/v1/documents", "/v1/members", "/v1/erasures"):
            refused, of_nobody = caller.get(path), unknown.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.json()["detail"] == of_nobody.json()["detail"]
    assert adam.get("/admin/documents/").status_code == 302
    assert elsewhere.service.get("/v1/members").status_code == 200
    listed = cast.operator.get("/v1/tenants", {"limit": 100}).json()["results"]
    (row,) = [t for t in listed if t["id"] == public_id("tenant", here.id)]
    assert row["closing_at"]


def test_a_request_under_way_is_told_what_the_next_one_is(cast: Cast) -> None:
    with (
        ThreadPoolExecutor(max_workers=1) as another,
        psycopg.connect(superuser_url(EMBEDDED)) as superuser,
    ):
        # It is let in, and waits where it would add its row until the tenant has ended.
        superuser.execute("LOCK TABLE access_collection IN SHARE MODE")
        under_way = another.submit(_make_collection, cast)
        _wait_for_one_that_waits(superuser)
        _begin(cast, cast.here.id)
        superuser.commit()
        refused = under_way.result()

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.json()["detail"] == cast.alice.get("/v1/documents").json()["detail"]


def _make_collection(cast: Cast) -> Any:
    try:
        return cast.here.service.post("/v1/collections", {"name": "Made too late"})
    finally:
        connections.close_all()


def _wait_for_one_that_waits(superuser: psycopg.Connection) -> None:
    until = time.monotonic() + 30
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'access_collection'::regclass"
    while superuser.execute(waiting).fetchone() is None:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_certificate_is_checked_offline_against_the_trail(cast: Cast, tmp_path: Path) -> None:
    tenant_id = cast.here.id
    assert cast.operator.get(_path(tenant_id)).json()["code"] == "not_offboarded"
    begun = _begin(cast, tenant_id).json()
    early = cast.operator.get(_path(tenant_id, "/certificate"))
    assert (early.status_code, early.json()["code"]) == (404, "receipt_not_ready")
    assert cast.operator.get(_path(tenant_id, "/trail")).status_code == 404

    work_to_the_end(tenant_id)
    sign_all(tenant_id)

    shown = cast.operator.get(_path(tenant_id)).json()
    assert (shown["state"], shown["complete"], shown["erasure"]) == (
        "closed",
        True,
        begun["erasure"],
    )
    certificate = cast.operator.get(_path(tenant_id, "/certificate"))
    said = certificate.json()
    assert (said["outcome"], said["tenant"]) == ("off-boarded", public_id("tenant", tenant_id))
    trail = cast.operator.get(_path(tenant_id, "/trail"))
    with zipfile.ZipFile(io.BytesIO(trail.getvalue())) as file:
        file.extractall(tmp_path)
    (tmp_path / "certificate.json").write_bytes(certificate.content)
    checked = _verify(tmp_path, begun["erasure"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "holds: receipt 1 of" in checked.stdout
    events = (tmp_path / "events.jsonl").read_text()
    for person in (cast.alice, cast.bob, cast.carol):
        assert str(person.id) not in events

    told = certificate.content.decode().replace("off-boarded", "destroyed")
    (tmp_path / "certificate.json").write_text(told)
    assert _verify(tmp_path, begun["erasure"]).returncode == 1


def _verify(folder: Path, erasure: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(folder / "ambit_verify.pyz"), str(folder)]
    return subprocess.run(
        [*program, "--receipt", str(folder / "certificate.json"), "--erasure", erasure],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_certificate_on_paper(cast: Cast) -> None:
    _begin(cast, cast.here.id)
    work_to_the_end(cast.here.id)

    paper = cast.operator.get(_path(cast.here.id, "/certificate"), {"as": "pdf"})

    assert paper.headers["Content-Type"] == "application/pdf"
    document = pypdfium2.PdfDocument(paper.content)
    text = "".join(page.get_textpage().get_text_range() for page in document)
    for words in ("Certificate of off-boarding", "What stays, and why", "Members: names"):
        assert "".join(words.split()) in "".join(text.split())
    assert "Due" not in text


@pytest.mark.parametrize("body", [{}, {"slug": ""}, {"slug": 1}, {"slug": "x", "force": True}])
def test_a_body_that_does_not_confirm_is_refused(cast: Cast, body: dict[str, Any]) -> None:
    assert cast.operator.post(_path(cast.here.id), body).status_code == 400


def test_another_slug_and_another_tenant_are_refused(cast: Cast) -> None:
    wrong = cast.operator.post(_path(cast.here.id), {"slug": slug_of(cast.there.id)})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "slug_mismatch")
    nobody = cast.operator.post(_path(UUID(int=5)), {"slug": "x"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "tenant_not_found")
    assert cast.operator.get(_path(UUID(int=5))).status_code == 404
    assert cast.alice.get("/v1/documents").status_code == 200


def test_open_holds_are_named(cast: Cast) -> None:
    document = _upload(cast)
    body = {"documents": [document], "basis": "e", "review_at": "2999-01-01T00:00:00Z"}
    held = cast.here.service.post("/v1/holds", {**body, "reason": "a claim"})
    assert held.status_code == 201

    refused = _begin(cast, cast.here.id)

    assert (refused.status_code, refused.json()["code"]) == (409, "holds_open")
    assert refused.json()["detail"].startswith("1 holds")
    assert parse_id("hold", held.json()["id"])


def test_the_operator_ends_a_tenant_on_its_page(cast: Cast) -> None:
    client, tenant = operator().client(), public_id("tenant", cast.here.id)
    url = f"/admin/tenants/{tenant}/offboarding/"

    assert b"Nobody can undo this" in client.get(url).content
    wrong = client.post(url, {"slug": "another"})
    assert (wrong.status_code, b"not this tenant" in wrong.content) == (422, True)
    assert client.get(url, {"as": "pdf"}).status_code == 404
    assert client.post(url, {"slug": slug_of(cast.here.id)}).status_code == 302
    with tenant_scope(cast.here.id):
        keep_from_workers()
    assert b"A worker counts" in client.get(url).content
    assert b"being off-boarded" in client.get(f"/admin/tenants/{tenant}/").content

    work_to_the_end(cast.here.id)

    assert b"Members: names" in client.get(url).content
    assert client.get(url, {"as": "pdf"}).content.startswith(b"%PDF")
    assert client.get(url, {"as": "json"}).json()["complete"] is True
    assert b"Closed tenant" in client.get("/admin/tenants/", {"state": "closed"}).content
