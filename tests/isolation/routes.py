"""Every route of the URLconf with the ids it takes, and a request for each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, URLResolver, get_resolver

from ambit.api.docs import openapi
from ambit.api.permissions import Policy
from ambit.api.views import AmbitView
from tenants.ids import PREFIXES
from tests.cast import Api
from tests.database.adapting import CONFIG, weights

# The admin site guards its pages itself; tests/browser/test_pages.py walks them.
OTHER_SITES = ("admin/",)
# What a path's parameter names, where its own name does not say it.
_KIND_OF_PARAMETER = {"member": "member", "child": "group"}
_KIND_OF_PATH = {
    "tenants": "tenant",
    "members": "member",
    "keys": "key",
    "groups": "group",
    "collections": "collection",
    "documents": "document",
    "answers": "answer",
    "models": "adapter",
    "conversations": "conversation",
    "erasures": "erasure",
    "audit": "event",
    "holds": "hold",
    "restrictions": "restriction",
    "exports": "export",
    "webhooks": "webhook",
    "adapters": "adapter",
}
_GRANTS = [{"principal": "member:{member}", "role": "owner"}]
_SINCE = {"created_after": "2020-01-01T00:00:00Z", "updated_before": "2999-01-01T00:00:00+01:00"}
# A valid body or query for each call that takes one: {kind} stands for an id of that kind.
REQUESTS: dict[str, Any] = {
    "POST v1/tenants": {"name": "A tenant", "slug": "no good slug"},
    "POST v1/tenants/<str:id>/offboarding": {"slug": "not-its-slug"},
    "POST v1/members": {"external_id": "", "email": "not an address"},
    "PATCH v1/members/<str:id>": {"role": "member"},
    "POST v1/members/<str:id>/keys": {"name": "planted"},
    "POST v1/keys": {"name": "planted", "scopes": []},
    "POST v1/groups": {"external_id": "", "name": ""},
    "POST v1/collections": {"name": "Planted", "grants": _GRANTS},
    "PUT v1/collections/<str:id>/grants": {"grants": _GRANTS},
    "GET v1/documents": {"collection": "{collection}", "metadata": "{}", **_SINCE},
    "POST v1/documents": {
        "collection": "{collection}",
        "title": "Planted",
        "text": "Planted words.",
        "subjects": [{"type": "member", "value": "{member}"}],
        "grants": _GRANTS,
    },
    "POST v1/documents/batch": {
        "documents": [{"collection": "{collection}", "title": "P", "text": "p", "grants": _GRANTS}]
    },
    "PUT v1/documents/<str:id>/content": {"text": "Planted words."},
    "PUT v1/documents/<str:id>/grants": {"grants": _GRANTS},
    "POST v1/search": {
        "query": "harbor",
        "mode": "text",
        "collections": ["{collection}"],
        "metadata": {},
        **_SINCE,
    },
    "POST v1/answers": {
        "question": "When does the harbor open?",
        "routes": [{"collection": "{collection}", "k": 3}],
        "conversation": "{conversation}",
        "adapter": "{adapter}",
        "metadata": {},
        **_SINCE,
    },
    "POST v1/chat/completions": {
        "model": "{adapter}",
        "messages": [{"role": "user", "content": "When does the harbor open?"}],
        "collections": ["{collection}"],
        "conversation": "{conversation}",
    },
    "POST v1/erasures": {"documents": ["{document}"], "reason": "asked to"},
    "POST v1/erasures/candidates": {"identifiers": [{"type": "name", "value": "Harbor Opens"}]},
    "POST v1/holds": {
        "documents": ["{document}"],
        "basis": "e",
        "review_at": "2999-01-01T00:00:00Z",
        "reason": "a claim",
    },
    "POST v1/restrictions": {"documents": ["{document}"], "reason": "asked to"},
    "POST v1/erasures/<str:id>/identity": {"verified": True},
    "POST v1/erasures/<str:id>/refusal": {"reason": "not the person"},
    "POST v1/erasures/<str:id>/extension": {"reason": "complex"},
    "PUT v1/retention": {"answers": 365},
    "PUT v1/tenants/<str:id>/limits": {"tokens_per_month": 0},
    "GET v1/usage": {"group_by": "member,key"},
    "PUT v1/policy": {"rules": "Planted.", "tone": "plain", "language": "de"},
    "POST v1/exports": {
        "subject": {"type": "email", "value": "somebody@example.test"},
        "reason": "asked to",
        "include_shared": True,
    },
    "POST v1/adapters": {
        "name": "Planted",
        "documents": [{"document": "{document}", "version": 1}],
    },
    "POST v1/webhooks": {
        "name": "Recipient",
        "url": "https://hooks.example.test/ambit",
        "events": ["document.erased"],
    },
    "GET v1/audit/events": {"object": "{document}", "actor": "{member}"},
    "GET v1/audit/consistency": {"older": 1, "newer": 1},
}
# Calls that take a form, and the files beside its fields.
FORMS = {
    "POST v1/adapters": {
        "config": json.dumps(CONFIG).encode(),
        "weights": weights(),
    }
}
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Call:
    """One method of one route; slots name the ids it takes, by kind."""

    method: str
    route: str
    policy: Policy

    @property
    def name(self) -> str:
        """Name the call as the table above does."""
        return f"{self.method} {self.route}"

    @property
    def template(self) -> str:
        """Return the path with a slot for each id: two of one kind are called group and child."""
        first = self.route.removeprefix("v1/").partition("/")[0]

        def slot(match: re.Match[str]) -> str:
            parameter = match[1]
            return "{" + (_KIND_OF_PATH[first] if parameter == "id" else parameter) + "}"

        return "/" + re.sub(r"<str:(\w+)>", slot, self.route)

    @property
    def path_slots(self) -> list[str]:
        """Return the slots of the path."""
        return _SLOT.findall(self.template)

    @property
    def body_slots(self) -> list[str]:
        """Return the slots of the body or query."""
        return list(dict.fromkeys(_SLOT.findall(json.dumps(REQUESTS.get(self.name)))))

    @property
    def slots(self) -> list[str]:
        """Return every slot once."""
        return list(dict.fromkeys([*self.path_slots, *self.body_slots]))

    def path(self, ids: dict[str, str]) -> str:
        """Return the path with ids in its slots."""
        return _SLOT.sub(lambda match: ids[match[1]], self.template)

    def body(self, ids: dict[str, str]) -> Any:
        """Return the body or query with ids in its slots; None where the call takes none."""
        text = json.dumps(REQUESTS.get(self.name))
        return json.loads(_SLOT.sub(lambda match: ids[match[1]], text))

    def sent_by(self, api: Api, ids: dict[str, str]) -> Any:
        """Send the call with ids in its slots, and return the response."""
        body = self.body(ids)
        if self.name not in FORMS:
            return api.call(self.method, self.path(ids), body)
        files = {name: SimpleUploadedFile(name, data) for name, data in FORMS[self.name].items()}
        form = {name: v if isinstance(v, str) else json.dumps(v) for name, v in body.items()}
        return api.call(self.method, self.path(ids), form | files, format="multipart")

    def untried_ids(self) -> set[str]:
        """Return what the OpenAPI document shows as an id in body or query and the sample lacks."""
        operation, schema = self._operation(), openapi()
        sample = REQUESTS.get(self.name) or {}
        queries = {p["name"] for p in operation.get("parameters", []) if _holds_id(p)}
        body = json.dumps(_resolved(operation.get("requestBody", {}), schema))
        kinds = {prefix: kind for kind, prefix in PREFIXES.items()}
        found = {kinds[p] for p in re.findall(r'"example": "([a-z]{3})_', body)}
        found |= {"member"} if '"principal"' in body else set()
        untried = found - {kind_of(slot) for slot in self.body_slots}
        return untried | (queries - set(sample) - {"id", "member", "child"})

    def _operation(self) -> dict[str, Any]:
        path = "/" + re.sub(r"<str:(\w+)>", r"{\1}", self.route)
        found: dict[str, Any] = openapi()["paths"].get(path, {}).get(self.method.lower(), {})
        return found

    def takes_a_body(self) -> bool:
        """Say whether the OpenAPI document shows a body."""
        return "requestBody" in self._operation()


def kind_of(slot: str) -> str:
    """Return the kind of id that a slot takes."""
    return _KIND_OF_PARAMETER.get(slot, slot)


def patterns() -> Iterator[tuple[str, Any]]:
    """Yield every route and its view, the other sites' apart."""
    yield from _patterns(get_resolver(), "")


def _patterns(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route, getattr(pattern.callback, "view_class", pattern.callback)
        elif route not in OTHER_SITES:
            yield from _patterns(pattern, route)


def calls() -> list[Call]:
    """Return every call that is not for anybody."""
    return [
        Call(method, route, policy)
        for route, view in patterns()
        if isinstance(view, type) and issubclass(view, AmbitView)
        for method, policy in sorted(view.policies.items())
        if not policy.public
    ]


def _holds_id(parameter: dict[str, Any]) -> bool:
    return re.search(r'"example": "[a-z]{3}_', json.dumps(parameter)) is not None


def _resolved(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_resolved(v, schema) for v in value]
    if isinstance(value, dict):
        if "$ref" in value:
            return _resolved(schema["components"]["schemas"][value["$ref"].split("/")[-1]], schema)
        return {name: _resolved(v, schema) for name, v in value.items()}
    return value
