"""Have every model server load an adapter or let go of it; for workers, never for a request."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from django.conf import settings

NAME = re.compile(r"[a-z0-9-]{1,64}")
TIMEOUT = httpx2.Timeout(connect=2, write=10, pool=2, read=60)


class InvalidAdapterName(ValueError):
    """The name is not one that we give; nothing was sent."""


class ModelServersUnavailable(Exception):
    """A model server could not be reached, or failed: what it has loaded is not known."""


class AdapterRefused(Exception):
    """A model server refuses to load the adapter and will refuse it again; carries the status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"adapter refused ({status})")
        self.status = status


def is_configured() -> bool:
    """Say whether there is any model server to load adapters."""
    return bool(_urls())


def load_adapter(*, name: str, path: str) -> None:
    """Load an adapter on every server that has it not; path: as the servers see it.

    Raises InvalidAdapterName, ModelServersUnavailable, AdapterRefused.
    """
    _require(name)
    for url in _urls():
        with _client(url) as client:
            if name in _loaded(client):
                continue
            answer = client.post(
                "/v1/load_lora_adapter", json={"lora_name": name, "lora_path": path}
            )
            if 400 <= answer.status_code < 500:
                raise AdapterRefused(answer.status_code)
            if not answer.is_success:
                raise ModelServersUnavailable


def unload_adapter(*, name: str) -> None:
    """Unload an adapter from every server that has it; the weights stay in its memory until they are evicted.

    One that is out of reach keeps none of the others waiting. Raises InvalidAdapterName, ModelServersUnavailable.
    """
    _require(name)
    faults = [url for url in _urls() if not _unloaded(url, name)]
    if faults:
        raise ModelServersUnavailable


def loaded_adapters() -> set[str]:
    """Return what is loaded on every server; raise ModelServersUnavailable."""
    found = _loaded_each()
    return set.intersection(*found) if found else set()


def loaded_anywhere() -> set[str]:
    """Return what is loaded on at least one server; raise ModelServersUnavailable."""
    return set().union(*_loaded_each())


def _loaded_each() -> list[set[str]]:
    found = []
    for url in _urls():
        with _client(url) as client:
            found.append(_loaded(client))
    return found


def _unloaded(url: str, name: str) -> bool:
    try:
        with _client(url) as client:
            if name in _loaded(client):
                client.post("/v1/unload_lora_adapter", json={"lora_name": name})
            return name not in _loaded(client)
    except ModelServersUnavailable:
        return False


def _loaded(client: httpx2.Client) -> set[str]:
    answer = client.get("/v1/models")
    if not answer.is_success:
        raise ModelServersUnavailable
    try:
        models: list[dict[str, Any]] = answer.json()["data"]
        return {str(one["id"]) for one in models if one.get("parent")}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelServersUnavailable from None


@contextmanager
def _client(url: str) -> Iterator[httpx2.Client]:
    key = settings.AMBIT_VLLM_ADMIN_KEY
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx2.Client(
            base_url=url,
            headers=headers,
            timeout=TIMEOUT,
            trust_env=False,
            verify=ssl.create_default_context(),
        ) as client:
            yield client
    except (httpx2.TransportError, httpx2.InvalidURL):
        # Dropped, not chained: its words hold addresses.
        raise ModelServersUnavailable from None


def _require(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidAdapterName


def _urls() -> list[str]:
    texts = (one.strip() for one in settings.AMBIT_VLLM_ADMIN_URL.split(","))
    return [one.rstrip("/").removesuffix("/v1") for one in texts if one]
