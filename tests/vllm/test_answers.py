"""The whole way of an answer through vLLM: upload, ask over HTTP, read what comes back and what was sent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambit.config.embedded import Embedded
from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from tests.bench.service import Api, Service, Tenant, upload_texts, wait_until_final
from tests.vllm.server import Relay, VllmServer

TEXT = "The night shift at the Quay Lane depot begins at 21:40 and ends at 05:50. " * 6
QUESTION = "When does the night shift at the depot begin?"


class World:
    """A stack that speaks to the model server through a recording relay, and two tenants with one text each."""

    def __init__(self, service: Service, relay: Relay) -> None:
        self.relay = relay
        operator = service.operator()
        self.alice, self.carol = self._settle(service.tenant(operator, "one"))
        self.mallory, _ = self._settle(service.tenant(operator, "two"))

    def _settle(self, tenant: Tenant) -> tuple[Api, Api]:
        reader, stranger = tenant.member("reader"), tenant.member("stranger")
        grants = [{"principal": f"member:{reader}", "role": "owner"}]
        collection = tenant.collection("notices", grants)
        api = tenant.acting_for(reader)
        ids = upload_texts(api, [{"collection": collection, "title": "Shifts", "text": TEXT}])
        states = wait_until_final(api, ids, say=False)
        assert states[ids[0]]["state"] == "ready"
        return api, tenant.acting_for(stranger)

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies of the completions asked of the model server so far."""
        return [json.loads(r.split(b"\r\n\r\n", 1)[1]) for r in self.relay.requests()]


@pytest.fixture(scope="module")
def world(vllm_server: VllmServer) -> Iterator[World]:
    relay = Relay(vllm_server.url)
    env = {
        "AMBIT_VLLM_URL": relay.url,
        "AMBIT_VLLM_KEY": vllm_server.key,
        "AMBIT_VLLM_MODEL": vllm_server.model,
    }
    with tempfile.TemporaryDirectory(prefix="ambit-vllm-") as name:
        folder = Path(name).resolve()
        with (
            Stack(Embedded(folder), port=free_port(), env=env) as stack,
            Service(stack.url, folder) as service,
        ):
            yield World(service, relay)
    relay.close()


def test_an_answer_is_written_by_the_model_and_metered(world: World) -> None:
    answer = world.alice.call("POST", "/v1/answers", json={"question": QUESTION})

    assert answer["generator"] == "vllm"
    assert answer["usage"]["prompt_tokens"] > 100
    assert answer["usage"]["completion_tokens"] > 0


def test_without_a_permitted_passage_no_model_is_asked(world: World) -> None:
    before = len(world.sent())

    answer = world.carol.call("POST", "/v1/answers", json={"question": QUESTION})

    assert answer["abstained"] is True
    assert answer["citations"] == []
    assert len(world.sent()) == before


def test_two_tenants_with_the_same_text_never_share_a_cached_prompt(world: World) -> None:
    world.alice.call("POST", "/v1/answers", json={"question": QUESTION})
    again = world.alice.call("POST", "/v1/answers", json={"question": QUESTION})
    other = world.mallory.call("POST", "/v1/answers", json={"question": QUESTION})
    salts = {body["cache_salt"] for body in world.sent()}

    assert again["usage"]["cached_tokens"] > 0
    assert other["usage"]["cached_tokens"] == 0
    assert len(salts) == 2


def test_what_is_sent_names_no_tenant_member_or_document(world: World) -> None:
    world.alice.call("POST", "/v1/answers", json={"question": QUESTION})

    body = world.sent()[-1]
    text = json.dumps(body)

    assert body["model"] == world.sent()[0]["model"]
    assert not any(prefix in text for prefix in ("ten_", "mem_", "doc_", "chk_"))
