"""What people write stays in its sealed place: not in a log, a queue, a file name or a plain column."""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from redis import Redis

from tests.flows.service import Caller, Service, Tenant, wait_until
from tests.parsers.files import docx, paragraph

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Where a canary may stand in plain words, by design: what a tenant's administrators manage by.
# Everything else may be read with a document's key alone, or not at all.
PLAIN = {
    "member e-mail": {"tenants_member"},
    "member name": {"tenants_member"},
    "collection name": {"access_collection"},
    "external id": {"corpus_document"},
    "metadata": {"corpus_document"},
}
SECRET = (
    "text",
    "text of a file",
    "text of a broken file",
    "text replaced",
    "text deleted",
    "heading",
    "title",
    "file name",
    "query",
    "question",
    "filter",
    "subject",
    "wrong member",
    "wrong id",
    "malformed body",
    "idempotency key",
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
# Postgres' compression puts a byte between each eight that it copies as they are.
_UNBROKEN = 8
_LETTERS = re.compile(rb"[a-z]{%d,}" % _UNBROKEN)


@dataclass(frozen=True)
class Traces:
    """A run with a canary in each thing a person writes, and what it left behind."""

    canaries: dict[str, str]
    files: dict[str, set[str]]
    names: set[str]
    tables: dict[str, set[str]]
    commands: bytes
    waiting: bytes
    job_ids: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def traces(service: Service) -> Traces:
    """Use everything with canaries in it, then look into every file, table and message."""
    canaries = {name: "".join(secrets.choice(LETTERS) for _ in range(24)) for name in SECRET}
    canaries |= {name: "".join(secrets.choice(LETTERS) for _ in range(24)) for name in PLAIN}
    with _monitoring(service) as commands:
        waiting, job_ids = _use_everything(service, canaries)
    with service.superuser() as connection:
        connection.execute("CHECKPOINT")
    data_dir = service.embedded.data_dir
    return Traces(
        canaries=canaries,
        files=_files_with(data_dir, canaries),
        names={path.name for path in data_dir.rglob("*")},
        tables=_tables_with(service, canaries),
        commands=bytes(commands),
        waiting=waiting,
        job_ids=job_ids,
    )


def _use_everything(service: Service, canary: dict[str, str]) -> tuple[bytes, list[str]]:
    tenant = service.tenant()
    tenant.itself.post(
        "/v1/members",
        external_id=uuid4().hex,
        email=f"{canary['member e-mail']}@example.org",
        name=canary["member name"],
        role="member",
    )
    grants = [tenant.grant("alice", "owner")]
    collection = tenant.itself.post(
        "/v1/collections", name=canary["collection name"], grants=grants
    )["id"]
    documents = [
        tenant.alice.upload(
            collection,
            f"# {canary['heading']}\n\nThe harbor of {canary['text']} opens at six.",
            title=f"About {canary['title']}",
            external_id=canary["external id"],
            metadata={"note": canary["metadata"]},
            subjects=[{"type": "email", "value": f"{canary['subject']}@example.org"}],
        ),
        tenant.alice.upload_file(
            collection, f"{canary['file name']}.docx", docx(paragraph(canary["text of a file"]))
        ),
        tenant.alice.upload_file(
            collection,
            f"{canary['file name']}.pdf",
            f"%PDF-1.7 {canary['text of a broken file']}".encode(),
        ),
    ]
    states = [tenant.alice.wait(one, "ready", "failed")["state"] for one in documents]
    assert states == ["ready", "ready", "failed"]
    tenant.alice.replace(documents[0], f"The harbor of {canary['text replaced']} opens at seven.")
    gone = tenant.alice.upload(collection, f"The harbor of {canary['text deleted']} is closed.")
    tenant.alice.wait(gone)
    tenant.alice.delete(gone)
    tenant.alice.wait(documents[0])
    _ask(tenant, canary)
    _misuse(tenant, service, collection, canary)
    wait_until(lambda: tenant.n_jobs() == 0, "the end of all work")
    with service.worker_asleep():
        # The first is taken by the worker's own question, which waits at Redis.
        for _ in range(3):
            tenant.alice.upload(collection, canary["text"], title=canary["title"])
        jobs = service.ask_database("SELECT id FROM jobs_job WHERE tenant_id = %s", tenant.uuid)
        with service.redis() as redis:
            waiting = b"".join(_content(redis, key) for key in redis.scan_iter())
    wait_until(lambda: tenant.n_jobs() == 0, "the end of all work")
    return waiting, [str(job) for (job,) in jobs]


def _content(redis: Redis, key: bytes) -> bytes:
    # Its annotations allow for decoded text; this client's is not.
    items: Any = redis.lrange(key, 0, -1) if redis.type(key) == b"list" else []
    return b"\n".join([key, redis.dump(key) or b"", *items])


def _ask(tenant: Tenant, canary: dict[str, str]) -> None:
    for mode in ("hybrid", "text", "vector"):
        assert tenant.alice.search(f"harbor {canary['query']}", mode=mode)
    question = f"When does the harbor of {canary['question']} open?"
    answer = tenant.alice.post("/v1/answers", question=question)
    assert answer["id"]
    wanted = {canary["filter"]: [canary["filter"], "another"]}
    tenant.alice.post("/v1/search", query="harbor", metadata=wanted)
    tenant.alice.post("/v1/answers", question=question, metadata=wanted)
    for text in (json.dumps(wanted), canary["filter"]):
        tenant.alice.ask("GET", "/v1/documents", params={"metadata": text})
    refused = {"query": "harbor", "metadata": {canary["filter"]: [[canary["filter"]]]}}
    assert canary["filter"] not in tenant.alice.ask("POST", "/v1/search", json=refused).text


def _misuse(tenant: Tenant, service: Service, collection: str, canary: dict[str, str]) -> None:
    again = {"collection": collection, "title": canary["title"], "text": canary["text"]}
    refused = {
        409: tenant.alice.ask(
            "POST", "/v1/documents", json=again | {"external_id": canary["external id"]}
        ),
        404: tenant.alice.ask("GET", f"/v1/documents/{canary['wrong id']}"),
        400: tenant.alice.ask(
            "POST", "/v1/documents", content=f'{{"text": "{canary["malformed body"]}'.encode()
        ),
        403: Caller(service.http, tenant.key, member=canary["wrong member"]).ask(
            "GET", "/v1/documents"
        ),
    }
    for status, answer in refused.items():
        assert answer.status_code in {status, 415}, answer.text
    keyed = {"Idempotency-Key": canary["idempotency key"]}
    made = service.http.post(
        "/v1/documents",
        json=again,
        headers=keyed
        | {"Authorization": f"Bearer {tenant.key}", "Ambit-Member": tenant.ids["alice"]},
    )
    assert made.status_code == httpx2.codes.ACCEPTED
    service.stack.stop_part("embed")
    try:
        down = tenant.alice.ask("POST", "/v1/search", json={"query": canary["query"]})
    finally:
        service.stack.restart_part("embed")
    assert down.status_code == httpx2.codes.SERVICE_UNAVAILABLE


@contextmanager
def _monitoring(service: Service) -> Iterator[bytearray]:
    """Collect every command that Redis is given, with its values."""
    seen = bytearray()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service.embedded.redis_socket))
        connection.sendall(b"MONITOR\r\n")
        assert connection.recv(5) == b"+OK\r\n"

        def read() -> None:
            while piece := connection.recv(1 << 16):
                seen.extend(piece)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield seen
        connection.shutdown(socket.SHUT_RDWR)
        reader.join()


def _files_with(data_dir: Path, words: dict[str, str]) -> dict[str, set[str]]:
    """Return the files that hold each word, or so much of it as compression leaves in one piece."""
    names = {
        word[start : start + _UNBROKEN].encode(): name
        for name, word in words.items()
        for start in range(_UNBROKEN)
    }
    found: dict[str, set[str]] = {name: set() for name in words}
    for path in data_dir.rglob("*"):
        if not path.is_file():
            continue
        for run in _LETTERS.findall(path.read_bytes()):
            for start in range(len(run) - _UNBROKEN + 1):
                if (name := names.get(run[start : start + _UNBROKEN])) is not None:
                    found[name].add(str(path.relative_to(data_dir)))
    return found


def _tables_with(service: Service, words: dict[str, str]) -> dict[str, set[str]]:
    """Return the tables that hold each word, as text or as bytes."""
    names = {form: name for name, w in words.items() for form in (w, w.encode().hex())}
    tables = service.ask_database("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found: dict[str, set[str]] = {name: set() for name in words}
    for (table,) in tables:
        forms = service.ask_database(
            "SELECT DISTINCT m[1] FROM"  # noqa: S608 - names from the catalogue
            f" \"{table}\" AS row, regexp_matches(lower(row::text), %s, 'g') AS m",
            f"({'|'.join(names)})",
        )
        for (form,) in forms:
            found[names[form]].add(table)
    return found


def _plain(messages: bytes) -> bytes:
    """Return messages with all that is base64 in them opened."""
    opened = [messages]
    for found in _BASE64.findall(messages):
        for end in range(4):
            text = found[: len(found) - end]
            if len(text) % 4 == 0:
                opened.append(base64.b64decode(text))
                break
    return b"\n".join(opened)


@pytest.mark.parametrize("name", SECRET)
def test_no_file_of_the_data_directory_holds_it(traces: Traces, name: str) -> None:
    assert traces.files[name] == set()


@pytest.mark.parametrize("name", SECRET)
def test_no_column_of_any_table_holds_it(traces: Traces, name: str) -> None:
    assert traces.tables[name] == set()


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_what_may_be_plain_is_so_in_its_own_table_and_in_postgres_files_alone(
    traces: Traces, name: str
) -> None:
    assert traces.tables[name] == PLAIN[name]
    places = {file.split("/")[0] for file in traces.files[name]}
    assert places == {"postgres"}
    assert not any(file.endswith(".log") for file in traces.files[name])


@pytest.mark.parametrize("name", [*SECRET, *sorted(PLAIN)])
def test_no_message_to_redis_and_no_file_name_holds_it(traces: Traces, name: str) -> None:
    word = traces.canaries[name].encode()

    assert word not in _plain(traces.commands)
    assert word not in _plain(traces.waiting)
    assert not any(traces.canaries[name] in file for file in traces.names)


def test_what_was_watched_are_the_messages_themselves(traces: Traces) -> None:
    assert traces.job_ids
    for job_id in traces.job_ids:
        assert job_id.encode() in _plain(traces.commands)
    assert any(job_id.encode() in _plain(traces.waiting) for job_id in traces.job_ids)
