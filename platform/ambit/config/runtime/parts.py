"""The parts written in Python: embedding service, Celery worker, Celery beat and web server."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping

import psutil

from ambit.config.embedded import Embedded
from ambit.config.runtime.processes import ROOT, Part

WORKER_PROCESSES = 2
# Celery beat has no sign of readiness but that it goes on running.
BEAT_SETTLES_S = 1.0


def embed_part(embedded: Embedded, *, env: Mapping[str, str]) -> Part:
    """Return how to run the embedding service, the only process that loads torch."""
    return Part(
        name="embed",
        command=_python("ambit.inference.server", "--socket", str(embedded.embed_socket)),
        log=embedded.log_dir / "embed.log",
        ready=lambda _pid: _listens(embedded),
        before=lambda: embedded.embed_socket.unlink(missing_ok=True),
        ready_within_s=180,
        stop_within_s=10,
        env=env,
    )


def worker_part(embedded: Embedded, *, env: Mapping[str, str]) -> Part:
    """Return how to run the Celery worker; SIGTERM lets it finish the tasks in hand."""
    return Part(
        name="worker",
        command=_python(
            "celery", "-A", "workers.app", "worker",
            "--pool", "prefork", "--concurrency", str(WORKER_PROCESSES),
            "--hostname", f"worker-{os.getpid()}@%h", "--without-gossip", "--without-mingle",
            "--loglevel", "INFO",
        ),
        log=embedded.log_dir / "worker.log",
        ready=lambda pid: _has_children(pid, WORKER_PROCESSES),
        ready_within_s=120,
        stop_within_s=25,
        env=env,
    )  # fmt: skip


def beat_part(embedded: Embedded, *, env: Mapping[str, str]) -> Part:
    """Return how to run Celery beat, its schedule kept in the data directory."""
    folder = embedded.data_dir / "beat"
    return Part(
        name="beat",
        command=_python(
            "celery", "-A", "workers.app", "beat",
            "--schedule", str(folder / "schedule"), "--pidfile=", "--loglevel", "INFO",
        ),
        log=embedded.log_dir / "beat.log",
        ready=_after(BEAT_SETTLES_S),
        before=lambda: folder.mkdir(mode=0o700, exist_ok=True),
        ready_within_s=60,
        stop_within_s=10,
        env=env,
    )  # fmt: skip


def audit_part(embedded: Embedded, *, env: Mapping[str, str]) -> Part:
    """Return how to run what signs the audit log."""
    return Part(
        name="audit",
        command=(sys.executable, str(ROOT / "manage.py"), "keep_audit"),
        log=embedded.log_dir / "audit.log",
        ready=_after(0),
        ready_within_s=60,
        stop_within_s=10,
        env=env,
    )


def web_part(embedded: Embedded, *, env: Mapping[str, str], host: str, port: int) -> Part:
    """Return how to run the web server; it is ready when /livez answers."""
    return Part(
        name="web",
        command=_python(
            "uvicorn", "ambit.config.asgi:application", "--host", host, "--port", str(port),
            "--no-access-log", "--no-server-header", "--no-proxy-headers", "--ws", "none",
            "--timeout-graceful-shutdown", "10",
        ),
        log=embedded.log_dir / "web.log",
        ready=lambda _pid: _is_live(host, port),
        ready_within_s=120,
        stop_within_s=20,
        env=env,
    )  # fmt: skip


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _listens(embedded: Embedded) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect(str(embedded.embed_socket))
    return True


def _has_children(pid: int, number: int) -> bool:
    try:
        return len(psutil.Process(pid).children()) >= number
    except psutil.NoSuchProcess:
        return False


def _after(seconds: float) -> Callable[[int], bool]:
    since = time.monotonic()
    return lambda _pid: time.monotonic() - since >= seconds


def _is_live(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/livez", headers={"Host": "localhost"})
        return connection.getresponse().status < 500
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
