"""Start nginx with deploy/vllm/nginx.conf before a server, on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.vllm.server import ROOT, free_port

DEPLOYED = ROOT / "deploy" / "vllm"
# By the files of deploy/vllm/listeners.
LISTENERS = {"ask": "8080", "operate": "8081", "watch": "8082"}


class ProxyDidNotStart(RuntimeError):
    """nginx ended; the text is the end of its log."""


@dataclass(frozen=True)
class Proxy:
    ask_url: str
    operate_url: str
    watch_url: str
    keys: Path
    # With its configuration, its log, and in `tmp` whatever it writes.
    folder: Path

    def key(self, name: str) -> str:
        return (self.keys / name).read_text().strip()


def nginx() -> str | None:
    """Return nginx's program, None where it is absent."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def deployed(*listeners: str) -> str:
    """Return the deployed configuration with these listeners."""
    written, included = (DEPLOYED / "nginx.conf").read_text(), "include /etc/nginx/listener.conf;"
    assert included in written
    files = [(DEPLOYED / "listeners" / f"{listener}.conf").read_text() for listener in listeners]
    return written.replace(included, "\n".join(files))


@contextlib.contextmanager
def running_proxy(folder: Path, *, vllm_url: str, vllm_key: str) -> Iterator[Proxy]:
    """Start the deployed configuration, all listeners in one, with other ports, folders and upstream alone."""
    keys, temporary = folder / "keys", folder / "tmp"
    keys.mkdir(parents=True)
    temporary.mkdir()
    temporary.chmod(0o777)
    (keys / "vllm_key").write_text(vllm_key)
    subprocess.run(["sh", str(DEPLOYED / "keys.sh"), str(keys)], check=True)
    ports = [free_port() for _ in LISTENERS]
    upstream = httpx2.URL(vllm_url)
    written = deployed(*LISTENERS)
    for there, here in (
        ("server vllm:8000;", f"server {upstream.host}:{upstream.port};"),
        (" /tmp/", f" {temporary}/"),
        ("/run/secrets/vllm_proxy_keys", str(keys / "proxy_keys")),
        *(
            (f"listen {listener};", f"listen 127.0.0.1:{port};")
            for listener, port in zip(LISTENERS.values(), ports, strict=True)
        ),
    ):
        assert there in written, there
        written = written.replace(there, here)
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(written)
    program = nginx()
    assert program is not None
    command = [program, "-p", str(folder), "-c", str(configuration), "-g", "daemon off;"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as run:
        try:
            _wait_until_it_listens(run, ports, log)
            ask, operate, watch = (f"http://127.0.0.1:{port}" for port in ports)
            yield Proxy(ask, operate, watch, keys, folder)
        finally:
            run.terminate()


def _wait_until_it_listens(run: subprocess.Popen[bytes], ports: list[int], log: Path) -> None:
    until = time.monotonic() + 20
    for port in ports:
        while True:
            if run.poll() is not None or time.monotonic() > until:
                raise ProxyDidNotStart(log.read_text(errors="replace")[-2000:])
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
