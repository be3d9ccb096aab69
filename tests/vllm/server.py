"""Start a real vLLM server on the tiny model, and look at what goes over its wire."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import httpx2

from tests.vllm import environment

ROOT = Path(__file__).resolve().parents[2]
KEY = "vllm-test-key-3f9a"
MODEL = "ambit-tiny"
# Also in deploy/vllm/README.md: what is recommended there starts here.
RECOMMENDED_FLAGS = (
    "--enable-prefix-caching",
    "--prefix-caching-hash-algo sha256",
    "--scheduling-policy priority",
    "--enable-prompt-tokens-details",
    "--enable-force-include-usage",
    "--sse-keep-alive-interval 10",
    "--shutdown-timeout 30",
    "--generation-config vllm",
    "--structured-outputs-config.backend xgrammar",
    "--structured-outputs-config.disable_any_whitespace true",
    "--disable-fastapi-docs",
    "--fingerprint-mode none",
    "--disable-access-log-for-endpoints /health,/metrics",
)
# Where a tenant's adapters are served. Ranks that vLLM takes as the highest: 1, 8, 16, 32, 64, ...
ADAPTER_FLAGS = ("--enable-lora", "--max-loras 2", "--max-lora-rank 8", "--max-cpu-loras 4")
# Small, so that a test can fill it: four at work, two waiting. The limit counts both.
QUEUE_FLAGS = ("--max-num-seqs 4", "--max-num-queued-reqs 6")
# A prompt in more than one piece kills a seeded request's engine on a CPU (0.32.0: "CPU Generator does
# not use offset"), hence room for the longest prompt at once.
CPU_FLAGS = (
    "--enforce-eager",
    "--dtype float32",
    "--no-enable-chunked-prefill",
    "--max-num-batched-tokens 8192",
    # The tiny model writes more tokens a second than the server can send one by one: it would answer
    # nothing else meanwhile, not even how many requests are at work.
    "--stream-interval 16",
)
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    # Both open paths that nobody but the operator's worker may reach: see deploy/vllm.
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_SERVER_DEV_MODE": "1",
}
START_LIMIT_S = 420


class ServerDidNotStart(RuntimeError):
    """The server ended or stayed silent; the text is the end of its log."""


@dataclass(frozen=True)
class ModelServer:
    """A model server, whoever runs it."""

    url: str
    key: str
    model: str

    def metric(self, name: str) -> float:
        return self._metrics(name)[name]

    def _metrics(self, *names: str) -> dict[str, float]:
        text = httpx2.get(f"{self.url}/metrics", timeout=30).text
        return {
            name: sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))
            for name in names
        }

    def wait_for_running(self, wanted: int, *, limit_s: float) -> float:
        """Return the seconds until so many requests were at work."""
        return self._wait_for("vllm:num_requests_running", wanted, limit_s)

    def wait_for_queue(self, *, n_running: int, n_waiting: int, limit_s: float) -> None:
        """Wait until so many requests are at work and so many queued, in one and the same look.

        A busy server takes a second to answer it: between two looks a request may come to its end.
        """
        deadline = time.monotonic() + limit_s
        wanted = {"vllm:num_requests_running": n_running, "vllm:num_requests_waiting": n_waiting}
        while (now := self._metrics(*wanted)) != wanted:
            assert time.monotonic() < deadline, f"the server is at {now}, not {wanted}"
            time.sleep(0.3)

    def _wait_for(self, name: str, wanted: int, limit_s: float) -> float:
        started = time.monotonic()
        while (now := self.metric(name)) != wanted:
            waited = time.monotonic() - started
            assert waited < limit_s, f"{name} is {now}, not {wanted}"
            time.sleep(0.05)
        return time.monotonic() - started


@dataclass(frozen=True)
class VllmServer(ModelServer):
    """One that we started, and stop."""

    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path = field(repr=False)

    def kill(self) -> None:
        """Kill the server and its engine; a second time does nothing."""
        if self.process.returncode == -signal.SIGKILL:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running_server(folder: Path, *, flags: Sequence[str] = QUEUE_FLAGS) -> Iterator[VllmServer]:
    """Start a server and stop it with the block; of flags given twice the last holds."""
    port = free_port()
    log = folder / "vllm.log"
    groups = (RECOMMENDED_FLAGS, ADAPTER_FLAGS, CPU_FLAGS, flags)
    options = [part for flag in chain(*groups) for part in flag.split()]
    command = [
        str(environment.python()),
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(environment.model_dir()), "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port)),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            # The key not as an argument: every user of the machine could read it there.
            env={**os.environ, **ENVIRONMENT, "VLLM_API_KEY": KEY},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = VllmServer(f"http://127.0.0.1:{port}", KEY, MODEL, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _wait_until_ready(server: VllmServer) -> None:
    started = time.monotonic()
    while time.monotonic() - started < START_LIMIT_S and server.process.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{server.url}/health", timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    raise ServerDidNotStart(server.log.read_text(errors="replace")[-4000:])


class Relay:
    """Pass bytes between a client and a server, remember the client's, and cut where asked."""

    def __init__(self, server_url: str) -> None:
        self._server = (httpx2.URL(server_url).host, httpx2.URL(server_url).port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.open_connections = 0
        self._open: set[socket.socket] = set()
        # Pieces of all connections as they came, each with its connection's number.
        self.sent: list[tuple[int, bytes]] = []
        # When each request began, by time.perf_counter().
        self.begun_at: list[float] = []
        # None: pass everything on; n: close a connection after n bytes of answer.
        self.cut_after: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def requests(self) -> list[bytes]:
        """Return the requests seen, headers and body each, in the order in which they began."""
        begun: list[bytearray] = []
        latest: dict[int, bytearray] = {}
        for connection, data in list(self.sent):
            if data.startswith(b"POST /v1/") or connection not in latest:
                latest[connection] = bytearray()
                begun.append(latest[connection])
            latest[connection] += data
        return [bytes(request) for request in begun]

    def cut_now(self) -> None:
        """Cut every connection that is open."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # shutdown, too: close alone leaves a blocked accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.open_connections += 1
        with client, socket.create_connection(self._server) as server:
            self._open |= {client, server}
            upward = threading.Thread(target=self._upward, args=(client, server), daemon=True)
            upward.start()
            passed = 0
            with contextlib.suppress(OSError):
                # No more than may still pass is read: a quick answer comes whole in one piece.
                while (left := self._may_still_pass(passed)) and (data := server.recv(left)):
                    passed += len(data)
                    client.sendall(data)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            upward.join()
            self._open -= {client, server}
        self.open_connections -= 1

    def _may_still_pass(self, passed: int) -> int:
        cut_after = self.cut_after
        return 65536 if cut_after is None else max(cut_after - passed, 0)

    def _upward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.startswith(b"POST /v1/"):
                    self.begun_at.append(time.perf_counter())
                self.sent.append((id(client), data))
                server.sendall(data)
        # The client went away: the server must see it, or it would go on.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
