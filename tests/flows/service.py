"""A whole Ambit for the flows' tests, and the people who use it over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
import psutil
import psycopg
from redis import Redis

from ambit.config.embedded import DATABASE, Embedded
from ambit.config.runtime.network import free_port
from ambit.config.runtime.processes import ROOT
from ambit.config.runtime.supervisor import Stack
from tenants.ids import parse_id
from tests.flows.gate import Gate

LEASE_S = 2
PATIENCE_S = 120.0
Json = dict[str, Any]


def wait_until(true: Callable[[], object], what: str, *, within_s: float = PATIENCE_S) -> None:
    """Ask again and again; a refused connection counts as "not yet"."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except (psycopg.OperationalError, httpx2.TransportError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited {within_s:.0f} s in vain: {what}")


class Service:
    """A running Ambit with short leases, whose embedding goes through a gate."""

    def __init__(self, data_dir: Path, *, env: dict[str, str] | None = None) -> None:
        data_dir.mkdir(mode=0o700)
        self.embedded = Embedded(data_dir.resolve())
        self.gate = Gate(
            path=self.embedded.socket_dir / "gate.sock", upstream=self.embedded.embed_socket
        )
        self.variables = {
            "AMBIT_JOB_LEASE_S": str(LEASE_S),
            "AMBIT_AUDIT_INTERVAL_S": "1",
            "AMBIT_EMBED_URL": self.gate.url,
            "AMBIT_MODE": "embedded",
            # What is told is told to servers of the tests' own.
            "AMBIT_WEBHOOK_PRIVATE": "yes",
            **(env or {}),
        }
        self.stack = Stack(self.embedded, port=free_port(), env=self.variables)
        self.stack.start()
        self.stack.watch_in_background()
        self.http = httpx2.Client(base_url=self.stack.url, timeout=60)
        self._operator_key = ""

    def stop(self) -> None:
        """Stop everything."""
        self.http.close()
        self.stack.stop()
        self.gate.close()

    @property
    def operator_key(self) -> str:
        """The operator's key, made on first use."""
        if not self._operator_key:
            command = [sys.executable, "manage.py", "operator_key", "--name", "flows"]
            self._operator_key = subprocess.check_output(
                command, cwd=ROOT, env=self.environment(), text=True
            ).strip()
        return self._operator_key

    def environment(self) -> dict[str, str]:
        """Return the environment of a process of this Ambit."""
        own = {
            "AMBIT_DATA_DIR": str(self.embedded.data_dir),
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        }
        return {**os.environ, **self.variables, **own}

    def tenant(self) -> Tenant:
        """Make a tenant with Alice, Bob and Carol in it."""
        operator = Caller(self.http, self.operator_key)
        slug = f"t{uuid4().hex[:12]}"
        made = operator.post("/v1/tenants", name=slug, slug=slug)
        return Tenant(self, made["id"], made["service_key"]["key"])

    def ask_database(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Look as the superuser, whom no policy hides anything from."""
        with self.superuser() as connection:
            return connection.execute(statement, values).fetchall()

    def superuser(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as the superuser; each statement is committed."""
        password = self.embedded.secrets["password_postgres"]
        host = quote(str(self.embedded.socket_dir))
        url = f"postgresql://postgres:{password}@/{DATABASE}?host={host}"
        return psycopg.connect(url, autocommit=True)

    def redis(self) -> Redis:
        """Connect to the broker."""
        return Redis(unix_socket_path=str(self.embedded.redis_socket))

    @contextmanager
    def worker_asleep(self) -> Iterator[None]:
        """Stop the worker's processes in their tracks until the block ends."""
        group = self.stack.pid("worker")
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def kill_worker(self) -> int:
        """Kill the worker with all its processes; return its process id."""
        group = self.stack.pid("worker")
        os.killpg(group, signal.SIGKILL)
        return group

    @contextmanager
    def table_locked(self, table: str) -> Iterator[None]:
        """Let nobody write a table until the block ends; reading goes on."""
        with self.superuser() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
            yield

    def n_waiting_for(self, table: str) -> int:
        """Return how many transactions wait to write a table."""
        statement = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
        return int(self.ask_database(statement, table)[0][0])

    def parsers(self) -> list[psutil.Process]:
        """Return the worker's parser processes that are running."""
        found = []
        for child in psutil.Process(self.stack.pid("worker")).children(recursive=True):
            try:
                if any("workers.ingest.parsers" in word for word in child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found


class Refused(AssertionError):
    """An answer that a test did not expect."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"{answer.status_code} {answer.text[:300]}")
        self.status, self.answer = answer.status_code, answer


class Caller:
    """A key's view of the API, maybe acting for a member."""

    def __init__(self, http: httpx2.Client, key: str, *, member: str | None = None) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"}
        if member:
            self._headers["Ambit-Member"] = member

    def ask(self, method: str, path: str, **values: Any) -> httpx2.Response:
        """Return the answer, whatever it is."""
        return self._http.request(method, path, headers=self._headers, **values)

    def call(self, method: str, path: str, **values: Any) -> Any:
        """Return the decoded answer; raise Refused."""
        answer = self.ask(method, path, **values)
        if answer.status_code >= 400:
            raise Refused(answer)
        return answer.json() if answer.content else None

    def post(self, path: str, **body: Any) -> Json:
        """Post a JSON object."""
        made: Json = self.call("POST", path, json=body)
        return made

    def upload(self, collection: str, text: str, *, title: str = "A text", **more: Any) -> str:
        """Upload a text and return the document's id."""
        return str(
            self.post("/v1/documents", collection=collection, title=title, text=text, **more)["id"]
        )

    def upload_file(self, collection: str, name: str, content: bytes, **fields: str) -> str:
        """Upload a file as a form and return the document's id."""
        answer = self.call(
            "POST",
            "/v1/documents",
            files={"file": (name, content, "application/octet-stream")},
            data={"collection": collection, **fields},
        )
        return str(answer["id"])

    def replace(self, document: str, text: str) -> None:
        """Give a document new content."""
        self.call("PUT", f"/v1/documents/{document}/content", json={"text": text})

    def delete(self, document: str) -> None:
        """Delete a document."""
        self.call("DELETE", f"/v1/documents/{document}")

    def document(self, document: str) -> Json:
        """Return a document as it is now."""
        found: Json = self.call("GET", f"/v1/documents/{document}")
        return found

    def wait(self, document: str, *states: str, within_s: float = PATIENCE_S) -> Json:
        """Wait until the newest version of a document is ready, or in another state named."""
        wanted = states or ("ready",)
        wait_until(
            lambda: self._state(document) in wanted,
            f"a document that is {' or '.join(wanted)}",
            within_s=within_s,
        )
        return self.document(document)

    def _state(self, document: str) -> str:
        """Return a document's state; where the database is away for a moment, that."""
        answer = self.ask("GET", f"/v1/documents/{document}")
        if answer.status_code == 503:
            return "unavailable"
        if answer.status_code >= 400:
            raise Refused(answer)
        return str(answer.json()["state"])

    def search(self, query: str, *, mode: str = "hybrid", k: int = 10) -> list[Json]:
        """Return passages."""
        found: list[Json] = self.post("/v1/search", query=query, mode=mode, k=k)["results"]
        return found

    def finds(self, document: str, query: str, *, mode: str = "hybrid") -> bool:
        """Say whether a search finds the document."""
        return document in {one["document"]["id"] for one in self.search(query, mode=mode)}


@dataclass
class Tenant:
    """A tenant with Alice, who owns a collection, Bob, who may read it, and Carol, who may not."""

    service: Service
    id: str
    key: str
    itself: Caller = field(init=False)
    alice: Caller = field(init=False)
    bob: Caller = field(init=False)
    carol: Caller = field(init=False)
    ids: dict[str, str] = field(init=False)
    collection: str = field(init=False)

    def __post_init__(self) -> None:
        self.itself = Caller(self.service.http, self.key)
        self.ids = {name: _member(self.itself, name) for name in ("alice", "bob", "carol")}
        self.alice, self.bob, self.carol = (
            Caller(self.service.http, self.key, member=self.ids[name]) for name in self.ids
        )
        self.collection = self.collection_for("alice:owner", "bob:reader")

    def collection_for(self, *grants: str) -> str:
        """Make a collection with grants such as "bob:reader"."""
        given = [one.split(":") for one in grants]
        made = self.itself.post(
            "/v1/collections",
            name=uuid4().hex,
            grants=[self.grant(name, role) for name, role in given],
        )
        return str(made["id"])

    def grant(self, name: str, role: str) -> Json:
        """Return a grant as the API takes it."""
        return {"principal": f"member:{self.ids[name]}", "role": role}

    @property
    def uuid(self) -> UUID:
        """The tenant's id as the database knows it."""
        return uuid_of("tenant", self.id)

    def n_jobs(self) -> int:
        """Return how many jobs the tenant has."""
        statement = "SELECT count(*) FROM jobs_job WHERE tenant_id = %s"
        return int(self.service.ask_database(statement, self.uuid)[0][0])

    def n_chunks(self, document: str) -> int:
        """Return how many chunks are stored of a document; its vectors and words must be as many."""
        counts = {
            self.service.ask_database(
                f"SELECT count(*) FROM {table} WHERE tenant_id = %s AND document_id = %s",  # noqa: S608 - fixed names
                self.uuid,
                uuid_of("document", document),
            )[0][0]
            for table in ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes")
        }
        assert len(counts) == 1, f"chunks, vectors and words differ in number: {counts}"
        return int(counts.pop())

    def n_events(self, action: str, document: str) -> int:
        """Return how many audit events of a kind a document has."""
        statement = (
            "SELECT count(*) FROM tenants_auditevent"
            " WHERE tenant_id = %s AND action = %s AND object_id = %s"
        )
        values = (self.uuid, action, uuid_of("document", document))
        return int(self.service.ask_database(statement, *values)[0][0])

    def files(self, document: str) -> list[Path]:
        """Return the stored files of a document that are not empty."""
        root = self.service.embedded.originals_dir / str(self.uuid)
        name = str(uuid_of("document", document))
        return [f for f in root.rglob("*") if name in str(f) and f.is_file() and f.stat().st_size]


def uuid_of(kind: str, text: str) -> UUID:
    """Return the UUID in a public id."""
    found = parse_id(kind, text)
    assert found is not None, text
    return found


def _member(caller: Caller, name: str) -> str:
    unique = f"{name}-{uuid4().hex[:8]}"
    made = caller.post(
        "/v1/members", external_id=unique, email=f"{unique}@example.org", name=name, role="member"
    )
    return str(made["id"])
