"""The OpenAPI document is valid and says everything; its page needs no internet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing

import pytest
from django.core.management import call_command
from django.urls import get_resolver
from django.urls.resolvers import URLPattern

from ambit.api.docs import openapi
from ambit.api.permissions import PUBLIC, Policy, PolicyUndeclared
from ambit.api.views import AmbitView
from tests.cast import Api


def operations() -> list[tuple[str, str, dict[str, object]]]:
    return [
        (path, method, operation)
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
    ]


def test_the_document_is_valid_without_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("schema") / "openapi.yaml"

    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))

    assert "/v1/answers" in file.read_text()


def test_every_operation_names_itself_and_its_problems() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]

    assert len(set(ids)) == len(ids)
    for path, method, operation in operations():
        responses = operation["responses"]
        assert isinstance(responses, dict)
        assert {"500"} <= set(responses), (method, path)
        refusals = [
            r for status, r in responses.items() if int(status) >= 400 and path != "/readyz"
        ]
        assert all("application/problem+json" in r["content"] for r in refusals), (method, path)
        assert operation["description"], (method, path)


def test_every_route_of_the_api_declares_its_policies() -> None:
    views = [
        pattern.callback.cls
        for pattern in _patterns(get_resolver().url_patterns)
        if hasattr(pattern.callback, "cls")
    ]

    assert len(views) > 25
    for view in views:
        assert issubclass(view, AmbitView)
        assert all(isinstance(policy, Policy) for policy in view.policies.values())


def test_a_handler_without_a_policy_cannot_be_defined() -> None:
    with pytest.raises(PolicyUndeclared):
        type("Leaky", (AmbitView,), {"get": lambda self, request: None})

    assert type("Tight", (AmbitView,), {"policies": {"GET": PUBLIC}, "get": lambda s, r: None})


def test_the_docs_page_asks_nobody_but_us(database: object) -> None:
    page = Api("").get("/docs")

    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    for source in sources:
        with closing(Api("").get(source)) as file:
            assert file.status_code == 200, source
    assert Api("").get("/v1/schema").json()["openapi"].startswith("3.")


def _patterns(patterns: Sequence[object]) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            found.append(pattern)
        elif str(getattr(pattern, "pattern", "")) != "admin/":
            found += _patterns(pattern.url_patterns)  # type: ignore[attr-defined]  # a resolver
    return found
