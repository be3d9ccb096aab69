"""A TCP server that answers each request with what a test wrote down: what no real vLLM can be made to say."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"
# In a script: wait until the asker has gone.
HOLD = "hold"

Step = bytes | float | str


def event(**fields: object) -> bytes:
    # As vLLM writes it: not escaped beyond what JSON asks for.
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def delta(content: str, finish_reason: str | None = None, *, spent: int | None = None) -> bytes:
    usage = {} if spent is None else {"usage": {"prompt_tokens": 9, "completion_tokens": spent}}
    return event(choices=[{"delta": {"content": content}, "finish_reason": finish_reason}], **usage)


USAGE = event(
    choices=[],
    usage={
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
)
WHOLE = (STREAM, delta("five"), delta(" days", "stop"), USAGE, DONE)


def refusal(status: int, **error: object) -> bytes:
    """Return a whole answer with this status; its words are never to be seen again."""
    body = json.dumps({"error": {"message": "secret", **error}}).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body


def json_answer(value: Any, status: int = 200) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body


class ScriptedServer:
    """Plays one script to each request, the last one again and again; counts what is open."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.open_connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def body(self, number: int = 0) -> dict[str, Any]:
        """Return what was posted with a request."""
        fields: dict[str, Any] = json.loads(self.requests[number].partition(b"\r\n\r\n")[2])
        return fields

    def wait_until_closed(self, limit_s: float = 5) -> float:
        """Return the seconds until no connection was open."""
        started = time.monotonic()
        while self.open_connections:
            waited = time.monotonic() - started
            assert waited < limit_s, f"{self.open_connections} connections are open"
            time.sleep(0.01)
        return time.monotonic() - started

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.open_connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                if request := self._read(client):
                    with self._lock:
                        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
                        self.requests.append(request)
                    self._play(client, script)
        finally:
            with self._lock:
                self.open_connections -= 1

    def _read(self, client: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (some := client.recv(65536)):
                return b""
            request += some
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        while len(body) < sum(lengths):
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body

    def _play(self, client: socket.socket, script: Sequence[Step]) -> None:
        for step in script:
            if isinstance(step, bytes):
                client.sendall(step)
            elif isinstance(step, float):
                time.sleep(step)
            else:
                while client.recv(65536):
                    pass
