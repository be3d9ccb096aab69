"""An Ambit of its own that speaks to the model server through a recording relay, with people in it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from ambit.config.embedded import Embedded
from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from tests.bench.service import Service, Tenant, upload_texts, wait_until_final
from tests.database.private import superuser_url
from tests.vllm import environment
from tests.vllm.server import Relay, VllmServer

TEXT = "The night shift at the Quay Lane depot begins at 21:40 and ends at 05:50. " * 6
QUESTION = "When does the night shift at the depot begin?"


class Place:
    """A tenant with one text, a reader in the group that may see it, and a stranger."""

    def __init__(self, tenant: Tenant, database_url: str) -> None:
        self.tenant = tenant
        self.database_url = database_url
        self.reader_id = tenant.member("reader")
        self.group = tenant.group("readers", [self.reader_id])
        self.reader = tenant.acting_for(self.reader_id)
        self.stranger_id = tenant.member("stranger")
        self.stranger = tenant.acting_for(self.stranger_id)
        keeper = tenant.member("keeper", role="admin")
        self.keeper = tenant.acting_for(keeper)
        grants = [
            {"principal": f"member:{keeper}", "role": "owner"},
            {"principal": f"group:{self.group}", "role": "reader"},
        ]
        self.collection = tenant.collection("notices", grants)
        (self.document,) = self.upload("Shifts", TEXT)

    def upload(self, title: str, text: str) -> list[str]:
        """Upload a text and wait until it can be found."""
        body = [{"collection": self.collection, "title": title, "text": text}]
        ids = upload_texts(self.keeper, body)
        states = wait_until_final(self.keeper, ids, say=False)
        assert {s["state"] for s in states.values()} == {"ready"}
        return ids

    def uses(self) -> list[dict[str, Any]]:
        """Return what is noted of the reader's questions, the latest last."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as database:
            return database.execute(
                "SELECT * FROM metering_use WHERE member_id = %s ORDER BY at",
                [_uuid(self.reader_id)],
            ).fetchall()

    def revoke(self) -> None:
        """Take the reader out of the group."""
        self.tenant.service.send("DELETE", f"/v1/groups/{self.group}/members/{self.reader_id}")

    def restore(self) -> None:
        """Put the reader back into it."""
        self.tenant.service.call("PUT", f"/v1/groups/{self.group}/members/{self.reader_id}")


class World:
    """Two tenants with the same text each."""

    def __init__(self, stack: Stack, service: Service, relay: Relay) -> None:
        database_url = superuser_url(stack.embedded)
        self.url = stack.url
        self.relay = relay
        self.operator = service.operator()
        self.one = Place(service.tenant(self.operator, "one"), database_url)
        self.two = Place(service.tenant(self.operator, "two"), database_url)

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies of the completions asked of the model server so far."""
        return [json.loads(r.split(b"\r\n\r\n", 1)[1]) for r in self.relay.requests()]


def _uuid(public: str) -> UUID:
    return UUID(public.partition("_")[2])


@contextmanager
def running_world(server: VllmServer) -> Iterator[World]:
    """Start it in a temporary folder, and stop it with the block."""
    relay = Relay(server.url)
    env = {
        "AMBIT_VLLM_URL": relay.url,
        "AMBIT_VLLM_KEY": server.key,
        "AMBIT_VLLM_MODEL": server.model,
        # As many as the server works on at once: its own queue, which it keeps short, is never full.
        "AMBIT_VLLM_CONCURRENCY": "4",
        "AMBIT_VLLM_QUEUE_S": "60",
        # Adapters go past the relay, so that what it saw are questions alone.
        "AMBIT_VLLM_ADMIN_URL": server.url,
        "AMBIT_LORA_BASE": str(environment.model_dir()),
        "AMBIT_VLLM_TOKENIZER": str(environment.model_dir() / "tokenizer.json"),
    }
    with tempfile.TemporaryDirectory(prefix="ambit-vllm-") as name:
        folder = Path(name).resolve()
        with (
            Stack(Embedded(folder), port=free_port(), env=env) as stack,
            Service(stack.url, folder) as service,
        ):
            yield World(stack, service, relay)
    relay.close()
