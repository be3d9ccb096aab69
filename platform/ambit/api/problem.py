"""What a caller is told when something is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told; {error.…} in the detail is filled from the exception."""

    status: int
    code: str
    title: str
    detail: str
    retry_after_s: int | None = None


def as_openai_error(body: dict[str, Any]) -> dict[str, Any]:
    """Return a problem in the words that OpenAI's clients read."""
    status = body["status"]
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    fields = [e["field"] for e in body["errors"] if e["field"]]
    words = [f"{e['field']}: {e['detail']}" for e in body["errors"]] or [body["detail"]]
    return {
        "message": f"{body['title']}. {' '.join(words)}",
        "type": kind,
        "param": fields[0] if fields else None,
        "code": body["code"],
    }
