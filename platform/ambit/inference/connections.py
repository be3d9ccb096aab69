"""Keep one HTTP client for each event loop, and close it with the loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

import httpx2

# vLLM has no time limit of its own, and a queued request may rightly stay silent for long: reading
# is bounded by the caller's deadline alone. Connecting: a first packet that is lost is sent again after
# one second and after three.
TIMEOUT = httpx2.Timeout(connect=5, write=10, pool=2, read=None)
# Below the five seconds after which vLLM closes an idle connection, so that a request rarely meets
# a closed one.
LIMITS = httpx2.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=3)

_CLIENTS: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[httpx2.AsyncClient, None]]
_CLIENTS = WeakKeyDictionary()


async def loop_client() -> httpx2.AsyncClient:
    """Return the running loop's client, which keeps connections open between requests."""
    loop = asyncio.get_running_loop()
    keeper = _CLIENTS.get(loop)
    if keeper is None:
        keeper = _CLIENTS[loop] = _kept_client()
    return await anext(keeper)


async def _kept_client() -> AsyncGenerator[httpx2.AsyncClient, None]:
    """Yield one client again and again, and close it with its loop.

    An event loop finishes its asynchronous generators as it ends (asyncio.run, uvicorn and asgiref
    all see to it), and has no other hook for closing what belongs to it.
    """
    # Not from the environment: a proxy named there would read every prompt.
    client = httpx2.AsyncClient(
        timeout=TIMEOUT, limits=LIMITS, trust_env=False, verify=ssl.create_default_context()
    )
    try:
        while True:
            yield client
    finally:
        await client.aclose()
