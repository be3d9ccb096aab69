"""A real server that is told things: it answers as asked, or not at all, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = int | str
HANG_S = 3.0


@dataclass
class Receiver:
    """What was received, and the answers to come: a status, "hang", "drip", "cut" or "redirect"."""

    answers: list[Answer] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    # How many connections were made, also such as asked for nothing.
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/told?by=ambit"

    @property
    def ids(self) -> list[str]:
        """The id of each message, in order."""
        return [headers["webhook-id"] for headers, _ in self.received]

    @property
    def effective(self) -> list[dict[str, Any]]:
        """What a receiver makes of it that drops what it has seen and took."""
        seen = dict(zip(self.ids, (body for _, body in self.received), strict=True))
        return [json.loads(body) for body in seen.values()]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        named = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.received.append((named, body))
        self.receiver.paths.append(self.path)
        answer = self.receiver.answers.pop(0) if self.receiver.answers else 200
        if answer == "hang":
            time.sleep(HANG_S)
        elif answer == "drip":
            self._drip()
        elif answer == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
        elif answer != "cut":
            self.send_response(int(answer))
            self.send_header("Content-Length", "1000000000")
            self.end_headers()

    do_GET = do_POST

    def _drip(self) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
            try:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(*answers: Answer) -> Iterator[Receiver]:
    """Run a server until the block ends."""
    receiver = Receiver(list(answers))
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
