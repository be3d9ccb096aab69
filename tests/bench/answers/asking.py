"""Ask for one answer, of Ambit or of the bare model server, and note when what came."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2

SALT = "b" * 64


@dataclass(frozen=True)
class Timed:
    """Seconds from sending to the first piece of text and to the end; tokens as counted by the server."""

    first_s: float
    whole_s: float
    n_tokens: int
    n_cached: int
    fault: str = ""
    # By time.perf_counter().
    started: float = 0.0


def client(url: str, *, limit: int = 512) -> httpx2.AsyncClient:
    """Return a client with room for many streams."""
    limits = httpx2.Limits(max_connections=limit, max_keepalive_connections=limit)
    return httpx2.AsyncClient(base_url=url, timeout=300, limits=limits, trust_env=False)


async def ask_ambit(
    http: httpx2.AsyncClient, headers: dict[str, str], question: str, *, max_tokens: int
) -> Timed:
    """Ask Ambit for a streamed answer."""
    body = {"question": question, "stream": True, "max_tokens": max_tokens}
    started = time.perf_counter()
    first, usage, fault = 0.0, {}, ""
    async with http.stream("POST", "/v1/answers", json=body, headers=headers) as response:
        if response.status_code != 200:
            return Timed(0, 0, 0, 0, fault=str(response.status_code))
        async for event in httpx2.EventSource(response):
            if event.event == "token" and not first:
                first = time.perf_counter() - started
            elif event.event == "usage":
                usage = json.loads(event.data)
            elif event.event == "error":
                fault = json.loads(event.data)["code"]
            elif event.event == "done" and json.loads(event.data)["withheld"]:
                fault = "withheld"
    whole = time.perf_counter() - started
    n_tokens, n_cached = usage.get("completion_tokens", 0), usage.get("cached_tokens", 0)
    return Timed(first or whole, whole, n_tokens, n_cached, fault=fault, started=started)


async def ask_bare(
    http: httpx2.AsyncClient, key: str, body: dict[str, Any], *, salt: str = SALT
) -> Timed:
    """Send the model server the very body that Ambit sent, under another salt."""
    headers = {"Authorization": f"Bearer {key}"}
    started = time.perf_counter()
    first, usage = 0.0, {}
    sent = body | {"cache_salt": salt}
    async with http.stream("POST", "/v1/chat/completions", json=sent, headers=headers) as response:
        if response.status_code != 200:
            return Timed(0, 0, 0, 0, fault=str(response.status_code))
        async for event in httpx2.EventSource(response):
            if event.data == "[DONE]":
                continue
            fields = json.loads(event.data)
            usage = fields.get("usage") or usage
            pieces = [c["delta"].get("content") for c in fields.get("choices") or ()]
            if any(pieces) and not first:
                first = time.perf_counter() - started
    whole = time.perf_counter() - started
    details = usage.get("prompt_tokens_details") or {}
    n_tokens, n_cached = usage.get("completion_tokens", 0), details.get("cached_tokens") or 0
    return Timed(first or whole, whole, n_tokens, n_cached, started=started)


async def all_at_once(asking: list[Any], *, at_once: int) -> list[Timed]:
    """Run the askings, so many at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(make: Any) -> Timed:
        async with places:
            found: Timed = await make()
            return found

    return await asyncio.gather(*(one(make) for make in asking))
