"""Tenants over HTTP, as the operator."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.cast import Api, Cast


def test_a_tenant_comes_with_a_key_that_works(cast: Cast) -> None:
    slug = f"new-{uuid4().hex[:8]}"

    made = cast.operator.post("/v1/tenants", {"name": "New", "slug": slug})

    assert made.status_code == 201
    tenant = made.json()
    key = tenant["service_key"]
    assert (tenant["slug"], tenant["id"][:4], key["key"][:10]) == (slug, "ten_", "ambit_svc_")
    assert key["scopes"]
    assert Api(key["key"]).get("/v1/members").json() == {"results": [], "next": None}
    newest = cast.operator.get("/v1/tenants", {"limit": 1}).json()["results"][0]
    assert newest["id"] == tenant["id"]
    assert "service_key" not in newest


def test_a_taken_slug_is_refused(cast: Cast) -> None:
    body = {"name": "New", "slug": f"new-{uuid4().hex[:8]}"}
    assert cast.operator.post("/v1/tenants", body).status_code == 201

    again = cast.operator.post("/v1/tenants", body)

    assert (again.status_code, again.json()["code"]) == (409, "slug_taken")


@pytest.mark.parametrize("slug", ["", "Up", "a b", "-a", "a--b", "ä", "x" * 64])
def test_a_bad_slug_is_refused(cast: Cast, slug: str) -> None:
    response = cast.operator.post("/v1/tenants", {"name": "New", "slug": slug})

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "slug"
