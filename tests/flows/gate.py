"""A real server between Ambit and its embedding service: counts what is embedded, and can hold it back."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HOLD_S = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    gate: Gate

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the embedding service, or who asks it, was killed by a test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        gate = self.server.gate
        bulk = self.headers["Ambit-Priority"] == "bulk"
        if bulk and gate.kills(json.loads(body)["input"]):
            os.kill(self._asker(), signal.SIGKILL)
            return
        if bulk:
            gate.wait_for_passage(json.loads(body)["input"])
        upstream = _UnixConnection(gate.upstream)
        try:
            upstream.request("POST", self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if bulk:
            gate.note(json.loads(body)["input"])
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _asker(self) -> int:
        """Return the process at the other end of the socket."""
        form = "3i"
        found = self.connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form)
        )
        return int(struct.unpack(form, found)[0])

    def address_string(self) -> str:
        return "a Unix socket"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Gate:
    """Stands at `path`, passes on to `upstream`."""

    def __init__(self, *, path: Path, upstream: Path) -> None:
        self.path, self.upstream = path, upstream
        self._changed = threading.Condition()
        self._held: str | None = None
        self._deadly: str | None = None
        self.n_killed = 0
        self._waiting = 0
        self._embedded: Counter[str] = Counter()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._server = _Server(str(path), _Handler)
        self._server.gate = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """What AMBIT_EMBED_URL is set to."""
        return f"unix://{self.path}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def n_embedded(self, words: str) -> int:
        """Return how many passages holding these words were embedded so far, each time counted."""
        with self._changed:
            return sum(n for text, n in self._embedded.items() if words in text)

    @contextmanager
    def holding(self, words: str) -> Iterator[None]:
        """Hold back requests for passages with these words until the block ends."""
        with self._changed:
            self._held = words
        try:
            yield
        finally:
            with self._changed:
                self._held = None
                self._changed.notify_all()

    @contextmanager
    def deadly(self, words: str) -> Iterator[None]:
        """Kill whoever asks for passages with these words, until the block ends."""
        with self._changed:
            self._deadly, self.n_killed = words, 0
        try:
            yield
        finally:
            with self._changed:
                self._deadly = None

    def kills(self, texts: list[str]) -> bool:
        """Say whether it is deadly to ask for these texts, and count."""
        with self._changed:
            if self._deadly is None or not any(self._deadly in text for text in texts):
                return False
            self.n_killed += 1
            return True

    def wait_until_held(self, n: int = 1) -> None:
        """Wait until so many requests are being held back."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= n, HOLD_S):
                raise TimeoutError("nobody came to the gate")

    def wait_for_passage(self, texts: list[str]) -> None:
        """Wait while any of the texts is held."""
        with self._changed:
            if not self._holds(texts):
                return
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._holds(texts), HOLD_S)
            self._waiting -= 1

    def _holds(self, texts: list[str]) -> bool:
        return self._held is not None and any(self._held in text for text in texts)

    def note(self, texts: list[str]) -> None:
        """Count texts that were embedded."""
        with self._changed:
            self._embedded.update(texts)
