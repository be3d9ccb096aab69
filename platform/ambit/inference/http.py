"""Make HTTP clients for servers named by unix://, http:// or https:// URLs."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2

# Below the five seconds after which many servers close an idle connection, so that a request rarely
# meets a closed one.
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=4)


class InvalidServerUrl(ValueError):
    """The URL names no server that can be spoken to."""


class _UnixTransport(httpx2.HTTPTransport):
    """Looks first whether a socket is there: httpcore2 2.16 leaves its own end open where none is."""

    def __init__(self, *, path: str) -> None:
        super().__init__(uds=path, limits=LIMITS)
        self._path = Path(path)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; raises httpx2.ConnectError without a socket."""
        if not self._path.is_socket():
            raise httpx2.ConnectError("no socket is there", request=request)
        return super().handle_request(request)


def open_client(*, url: str) -> httpx2.Client:
    """Return a client whose base URL is the server's root; a trailing /v1 is understood.

    NEVER reads proxies or credentials from the environment. Raises InvalidServerUrl.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        path = unquote(parts.netloc + parts.path)
        if not path.startswith("/"):
            raise InvalidServerUrl("a unix:// URL names an absolute path: unix:///run/embed.sock")
        transport = _UnixTransport(path=path)
        return httpx2.Client(transport=transport, base_url="http://localhost", trust_env=False)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidServerUrl("a server's URL starts with unix:///, http:// or https://")
    return httpx2.Client(
        base_url=url.rstrip("/").removesuffix("/v1"),
        limits=LIMITS,
        trust_env=False,
        verify=ssl.create_default_context(),
    )
