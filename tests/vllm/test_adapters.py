"""Adapters made with peft, from registration to a real vLLM and out of it again."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django.fixtures import Settings

from ambit.access.clearance import clearance_for
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.adapters.holdings import ADAPTERS
from ambit.adapters.queries import usable_adapter
from ambit.inference import wire
from ambit.inference.lora import load_adapter, loaded_adapters, loaded_anywhere, unload_adapter
from ambit.inference.messages import Message
from ambit.inference.vllm import GenerationRefused, Order, generating
from ambit.inference.wire import InvalidAdapterName
from tenants.holding import Scope
from tenants.ids import public_id
from tests.cast import Cast, publish
from tests.database.adapting import row_of, work
from tests.database.erasures import file, keep_from_workers, receipt_of, work_on
from tests.database.worlds import working
from tests.vllm import environment
from tests.vllm.server import Relay, VllmServer

QUESTION: list[Message] = [{"role": "user", "content": "When does the harbor open?"}]
ROUNDS = 30


@pytest.fixture
def served(configured: VllmServer, settings: Settings) -> Iterator[VllmServer]:
    """Let workers load adapters into the server, and take out in the end what a test left."""
    settings.AMBIT_VLLM_ADMIN_URL = configured.url
    settings.AMBIT_VLLM_ADMIN_KEY = configured.key
    settings.AMBIT_LORA_BASE = str(environment.model_dir())
    yield configured
    settings.AMBIT_VLLM_ADMIN_URL = configured.url
    for name in loaded_anywhere():
        unload_adapter(name=name)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A tenant with adapters a and b, live and loaded, each trained on a document of its own."""

    cast: Cast
    documents: dict[str, UUID]
    adapters: dict[str, UUID]

    def name_for(self, member_id: UUID, adapter: str) -> str:
        """Return what the server knows an adapter by, as an asker's question would look it up."""
        with working(self.cast.here.id):
            clearance = clearance_for(member_id=member_id)
            found = usable_adapter(adapter_id=self.adapters[adapter], clearance=clearance)
        return found.served_name


@pytest.fixture
def shelf(cast: Cast, served: VllmServer, peft_files: Path) -> Iterator[Shelf]:
    readers = [
        GrantSpec(PrincipalRef(member_id=cast.alice.id), "owner"),
        GrantSpec(PrincipalRef(member_id=cast.adam.id), "reader"),
    ]
    documents = {name: publish(cast.alice, cast.here, grants=readers) for name in "ab"}
    adapters = {name: _registered(cast, peft_files / name, documents[name]) for name in "ab"}
    yield Shelf(cast, documents, adapters)
    with working(cast.here.id):
        keep_from_workers()


def _registered(cast: Cast, files: Path, document_id: UUID) -> UUID:
    form: dict[str, Any] = {
        "name": files.name,
        "documents": json.dumps([{"document": public_id("document", document_id), "version": 1}]),
        "config": SimpleUploadedFile("c", (files / "adapter_config.json").read_bytes()),
        "weights": SimpleUploadedFile("w", (files / "adapter_model.safetensors").read_bytes()),
    }
    made = cast.adam.post("/v1/adapters", form, format="multipart")
    assert made.status_code == 201, made.content
    assert cast.adam.post(f"{made.headers['Location']}/promote").status_code == 200
    adapter_id = UUID(made.json()["id"].partition("_")[2])
    work(cast.here.id, adapter_id)
    row = row_of(cast.here.id, adapter_id)
    assert (row.load_fault, row.loaded_at is not None) == ("", True)
    return adapter_id


def answer(adapter: str | None) -> str:
    """Return what the server writes, by the base model or an adapter."""

    async def ask() -> str:
        order = Order(
            messages=QUESTION, cache_salt=secrets.token_hex(32), max_tokens=12, adapter=adapter
        )
        async with generating(order, deadline_s=60) as under_way:
            return "".join([piece async for piece in under_way])

    return asyncio.run(ask())


def test_answers_of_the_model_and_two_adapters_never_mix(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TEMPERATURE", 0.0)
    alice = shelf.cast.alice.id
    names = [None, shelf.name_for(alice, "a"), shelf.name_for(alice, "b")]

    seen: dict[str | None, set[str]] = {name: set() for name in names}
    for _ in range(ROUNDS):
        for name in names:
            seen[name].add(answer(name))

    assert [len(texts) for texts in seen.values()] == [1, 1, 1]
    assert len(set().union(*seen.values())) == 3, "each writes something of its own"


def test_what_is_retired_is_unloaded_and_its_name_refused(shelf: Shelf) -> None:
    cast = shelf.cast
    a, b = (shelf.name_for(cast.alice.id, one) for one in "ab")
    assert loaded_adapters() == loaded_anywhere() == {a, b}

    gone = public_id("document", shelf.documents["a"])
    assert cast.alice.delete(f"/v1/documents/{gone}").status_code in {202, 204}
    with working(cast.here.id):
        keep_from_workers()
    work(cast.here.id, shelf.adapters["a"])

    assert loaded_anywhere() == {b}
    with pytest.raises(GenerationRefused):
        answer(a)
    assert answer(b)


def test_an_erasure_ends_only_once_no_server_knows_the_adapter(
    shelf: Shelf, settings: Settings, served: VllmServer
) -> None:
    cast = shelf.cast
    name = shelf.name_for(cast.alice.id, "a")
    case_id = file(cast.here.id, documents=[shelf.documents["a"]]).id
    assert case_id is not None
    settings.AMBIT_VLLM_ADMIN_URL = f"{served.url},http://127.0.0.1:9"
    assert work_on(cast.here.id, case_id).state == "incomplete"
    assert row_of(cast.here.id, shelf.adapters["a"]).state == "retired"

    settings.AMBIT_VLLM_ADMIN_URL = served.url
    assert work_on(cast.here.id, case_id).state == "closed"

    assert name not in loaded_anywhere()
    holdings = receipt_of(cast.here.id, case_id)["holdings"]
    assert [h["destroyed"] for h in holdings if h["name"] == "adapters"] == [1]


def test_one_that_is_loaded_again_behind_our_back_is_seen_and_taken_out(
    shelf: Shelf, peft_files: Path
) -> None:
    cast, documents = shelf.cast, (shelf.documents["a"],)
    name = shelf.name_for(cast.alice.id, "a")
    case_id = file(cast.here.id, documents=list(documents)).id
    assert case_id is not None
    assert work_on(cast.here.id, case_id).state == "closed"
    load_adapter(name=name, path=str(peft_files / "a"))

    scope = Scope(tenant_id=cast.here.id, document_ids=documents)
    with working(cast.here.id, custody=True):
        assert ADAPTERS.remains(scope) == 1
        ADAPTERS.destroy(scope)
        assert ADAPTERS.remains(scope) == 0
    assert name not in loaded_anywhere()


def test_a_server_that_forgot_an_adapter_gets_it_back(shelf: Shelf, served: VllmServer) -> None:
    name = shelf.name_for(shelf.cast.alice.id, "a")
    httpx2.post(
        f"{served.url}/v1/unload_lora_adapter",
        json={"lora_name": name},
        headers={"Authorization": f"Bearer {served.key}"},
        timeout=30,
    ).raise_for_status()
    assert name not in loaded_anywhere()

    work(shelf.cast.here.id, shelf.adapters["a"])

    assert name in loaded_adapters()


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "A", "", "a" * 65, "a\n"])
def test_a_name_that_is_not_ours_never_reaches_the_server(
    served: VllmServer, settings: Settings, relay: Relay, name: str
) -> None:
    settings.AMBIT_VLLM_ADMIN_URL = relay.url
    with pytest.raises(InvalidAdapterName):
        answer(name)
    with pytest.raises(InvalidAdapterName):
        load_adapter(name=name, path="/x")
    with pytest.raises(InvalidAdapterName):
        unload_adapter(name=name)

    assert relay.sent == []
