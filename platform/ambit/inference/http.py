"""Make HTTP clients for servers named by unix://, http:// or https:// URLs."""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

import httpx2

# Below the five seconds after which many servers close an idle connection, so that a request rarely
# meets a closed one.
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=4)


class InvalidServerUrl(ValueError):
    """The URL names no server that can be spoken to."""


def open_client(*, url: str) -> httpx2.Client:
    """Return a client whose base URL is the server's root; a trailing /v1 is understood.

    NEVER reads proxies or credentials from the environment. Raises InvalidServerUrl.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        path = unquote(parts.netloc + parts.path)
        if not path.startswith("/"):
            raise InvalidServerUrl("a unix:// URL names an absolute path: unix:///run/embed.sock")
        transport = httpx2.HTTPTransport(uds=path, limits=LIMITS)
        return httpx2.Client(transport=transport, base_url="http://localhost", trust_env=False)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidServerUrl("a server's URL starts with unix:///, http:// or https://")
    return httpx2.Client(
        base_url=url.rstrip("/").removesuffix("/v1"),
        limits=LIMITS,
        trust_env=False,
        verify=ssl.create_default_context(),
    )
