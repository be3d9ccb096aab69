"""A whole Ambit of our own for a benchmark: started in a temporary folder, spoken to over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2

from ambit.config.embedded import Embedded
from ambit.config.runtime.supervisor import Stack

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
FINAL = frozenset({"ready", "failed"})


class Api:
    """A key's view of the REST API; any status but the expected ones ends the benchmark."""

    def __init__(self, client: httpx2.Client, key: str, *, member: str | None = None) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {key}"} | (
            {"Ambit-Member": member} if member else {}
        )

    def send(self, method: str, path: str, **values: Any) -> httpx2.Response:
        """Return the answer of a call, whatever its status."""
        return self.client.request(method, path, headers=self.headers, **values)

    def call(self, method: str, path: str, **values: Any) -> Any:
        """Return the decoded answer of a call that must succeed."""
        answer = self.send(method, path, **values)
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None


class Service:
    """A running Ambit, and the connections to it, closed with the block."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.client = httpx2.Client(base_url=url, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def operator(self) -> Api:
        """Return the operator's view, under a key made for it."""
        command = [sys.executable, "manage.py", "operator_key", "--name", "bench"]
        env = os.environ | {
            "AMBIT_DATA_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        }
        key = subprocess.check_output(command, cwd=ROOT, env=env, text=True).strip()
        return Api(self.client, key)

    def tenant(self, operator: Api, slug: str) -> Tenant:
        """Create a tenant."""
        made = operator.call("POST", "/v1/tenants", json={"name": slug, "slug": slug})
        return Tenant(self.client, made["service_key"]["key"], made["id"])


class Tenant:
    """A tenant's service key, and what a benchmark does with it."""

    def __init__(self, client: httpx2.Client, key: str, id: str) -> None:
        self.client, self.key, self.id = client, key, id
        self.service = Api(client, key)

    def member(self, name: str, role: str = "member") -> str:
        """Add a member and return its id."""
        body = {"external_id": name, "email": f"{name}@bench.example", "name": name, "role": role}
        return str(self.service.call("POST", "/v1/members", json=body)["id"])

    def group(self, name: str, members: list[str]) -> str:
        """Add a group with members and return its id."""
        made = self.service.call("POST", "/v1/groups", json={"external_id": name, "name": name})
        for member in members:
            self.service.call("PUT", f"/v1/groups/{made['id']}/members/{member}")
        return str(made["id"])

    def collection(self, name: str, grants: list[dict[str, str]]) -> str:
        """Add a collection and return its id."""
        body = {"name": name, "grants": grants}
        return str(self.service.call("POST", "/v1/collections", json=body)["id"])

    def acting_for(self, member: str) -> Api:
        """Return the view of the service acting for a member."""
        return Api(self.client, self.key, member=member)


def upload_texts(api: Api, documents: list[dict[str, Any]], *, batch: int = 100) -> list[str]:
    """Upload JSON texts in batches and return their ids in order."""
    ids: list[str] = []
    for start in range(0, len(documents), batch):
        body = {"documents": documents[start : start + batch]}
        answer = api.call("POST", "/v1/documents/batch", json=body)
        ids += [outcome["id"] for outcome in answer["results"]]
    return ids


def wait_until_final(api: Api, ids: list[str], *, say: bool = True) -> dict[str, dict[str, Any]]:
    """Wait until every document is ready or failed; return them by id.

    Asks for one document after another, so that asking costs the machine next to nothing.
    """
    done: dict[str, dict[str, Any]] = {}
    for id in ids:
        while (document := api.call("GET", f"/v1/documents/{id}"))["state"] not in FINAL:
            time.sleep(0.2)
        done[id] = document
        if say and (len(done) % 50 == 0 or len(done) == len(ids)):
            print(f"\r  {len(done)} of {len(ids)} documents final", end="", flush=True)
    if say:
        print()
    return done


@contextmanager
def running() -> Iterator[Service]:
    """Start an Ambit in a temporary folder and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        path = Path(folder)
        with Stack(Embedded(path), port=port) as stack, Service(stack.url, path) as service:
            yield service
