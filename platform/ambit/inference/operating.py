"""Speak to each replica as its operator, for workers and probes; NEVER in the way of an answer."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any, Literal

import httpx2
from django.conf import settings

from ambit.inference.replicas import Replica, ServersNotConfigured, read_servers

MAX_ANSWER_BYTES = 4 * 1024 * 1024

ReplicaFault = Literal["not_configured", "unreachable", "credentials", "not_offered", "failed"]


class ReplicaFailed(Exception):
    """A replica did not do what its operator asked; names it by its place in the setting."""

    def __init__(self, *, replica: str, reason: ReplicaFault, status: int | None = None) -> None:
        super().__init__(f"replica {replica}: {reason}")
        self.replica = replica
        self.reason = reason
        self.status = status


def operated_replicas() -> list[Replica]:
    """Return the replicas as workers reach them; raises ReplicaFailed where none is configured."""
    try:
        return read_servers(urls=settings.AMBIT_VLLM_ADMIN_URL, key=settings.AMBIT_VLLM_ADMIN_KEY)
    except ServersNotConfigured:
        raise ReplicaFailed(replica="-", reason="not_configured") from None


def call(
    replica: Replica,
    method: Literal["GET", "POST"],
    path: str,
    *,
    timeout_s: float,
    body: object = None,
) -> tuple[int, Any]:
    """Return the status and the JSON of an answer, None where it is none.

    Raises ReplicaFailed where nobody answers, or the key or the server is at fault. The server's
    words go no further than the caller.
    """
    headers = {"Authorization": f"Bearer {replica.key}"} if replica.key else {}
    # The library's limit is for each piece of an answer, this one for all.
    until = time.monotonic() + timeout_s
    try:
        with (
            # Not from the environment: a proxy named there would read the key.
            httpx2.Client(
                timeout=timeout_s, trust_env=False, verify=ssl.create_default_context()
            ) as client,
            client.stream(method, replica.address(path), json=body, headers=headers) as response,
        ):
            content = bytearray()
            for some in response.iter_bytes():
                content += some
                if len(content) > MAX_ANSWER_BYTES or time.monotonic() > until:
                    raise ReplicaFailed(replica=replica.label, reason="failed")
            status = response.status_code
    except (httpx2.TransportError, httpx2.DecodingError):
        raise ReplicaFailed(replica=replica.label, reason="unreachable") from None
    if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
        raise ReplicaFailed(replica=replica.label, reason="credentials", status=status)
    if status in {httpx2.codes.BAD_GATEWAY, httpx2.codes.GATEWAY_TIMEOUT}:
        raise ReplicaFailed(replica=replica.label, reason="unreachable", status=status)
    if status >= 500:
        raise ReplicaFailed(replica=replica.label, reason="failed", status=status)
    try:
        return status, json.loads(content)
    except ValueError:
        return status, None


def served_models(replica: Replica, *, timeout_s: float) -> list[dict[str, Any]]:
    """Return what a replica serves, model and adapters, as it lists them; raises ReplicaFailed."""
    status, listed = call(replica, "GET", "/v1/models", timeout_s=timeout_s)
    models = listed.get("data") if isinstance(listed, dict) else None
    if status != httpx2.codes.OK or not isinstance(models, list):
        raise ReplicaFailed(replica=replica.label, reason="failed", status=status)
    return [model for model in models if isinstance(model, dict)]
