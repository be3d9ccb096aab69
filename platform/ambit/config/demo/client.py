"""A caller of the REST API: one key, and the member it acts for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2


class UnexpectedStatus(Exception):
    """The API answered with another status than the demonstration counts on."""

    def __init__(self, call: str, response: httpx2.Response) -> None:
        super().__init__(f"{call} answered {response.status_code}: {response.text[:300]}")
        self.status = response.status_code


class NotAnswered(Exception):
    """A stream ended without an answer; carries the problem it told."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone with a key; every call names the status it expects."""

    http: httpx2.Client = field(repr=False)
    key: str = field(repr=False)
    member: str | None = None

    def acting_for(self, member: str | None) -> Caller:
        """Return the same key acting for a member: by id, external id or e-mail."""
        return replace(self, member=member)

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request and return whatever comes back."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if self.member is not None:
            headers["Ambit-Member"] = self.member
        return self.http.request(method, path, headers=headers, **request)

    def call(self, method: str, path: str, *, expect: int, **request: Any) -> Any:
        """Send a request and return its JSON; raises UnexpectedStatus."""
        response = self.send(method, path, **request)
        if response.status_code != expect:
            raise UnexpectedStatus(f"{method} {path}", response)
        return response.json() if response.content else None

    def get(self, path: str, **params: str) -> Any:
        """Read a resource that must be there."""
        return self.call("GET", path, expect=200, params=params)

    def post(self, path: str, body: Any, *, expect: int = 201) -> Any:
        """Create something."""
        return self.call("POST", path, expect=expect, json=body)

    def put(self, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Set something."""
        return self.call("PUT", path, expect=expect, json=body)

    def delete(self, path: str) -> None:
        """Remove something."""
        self.call("DELETE", path, expect=204)

    def text_of(self, document: str, version: int) -> str:
        """Return a version's extracted text, the one that offsets count in."""
        response = self.send(
            "GET",
            f"/v1/documents/{document}/content",
            params={"as": "text", "version": str(version)},
        )
        if response.status_code != 200:
            raise UnexpectedStatus("GET the text", response)
        return response.content.decode()

    def search(self, query: str, *, k: int = 8) -> list[dict[str, Any]]:
        """Return the passages found."""
        found = self.call("POST", "/v1/search", expect=200, json={"query": query, "k": k})
        results: list[dict[str, Any]] = found["results"]
        return results

    def ask(self, question: str, *, k: int = 8) -> dict[str, Any]:
        """Return the events of a streamed answer: `retrieval`, and `done` with the answer.

        Raises UnexpectedStatus, NotAnswered.
        """
        body = {"question": question, "k": k, "stream": True}
        response = self.send("POST", "/v1/answers", json=body)
        if response.status_code != httpx2.codes.OK:
            raise UnexpectedStatus("POST /v1/answers", response)
        events = {name: data for name, data in map(_event, response.text.split("\n\n")) if name}
        if "done" not in events:
            raise NotAnswered(events.get("error"))
        return events


def _event(block: str) -> tuple[str, Any]:
    """Read one event of a stream; a comment has no name."""
    fields = dict(
        line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and line
    )
    return fields.get("event", ""), json.loads(fields["data"]) if "data" in fields else None


def form_fields(values: dict[str, Any]) -> dict[str, str]:
    """Return a JSON body's fields as multipart form fields: lists and objects as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


def flat(text: str) -> str:
    """Return text on one line, for comparing and printing."""
    return " ".join(text.split())
