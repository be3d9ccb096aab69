"""Questions to adapters over HTTP: who may ask one, and that nothing in a request names one to the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vllm.server import MODEL
from tests.vllm.world import QUESTION, Place, World

LOADED_WITHIN_S = 90


class Trained:
    """An adapter of the first tenant, trained on a document that its readers may see."""

    def __init__(self, world: World, files: Path) -> None:
        (self.document,) = world.one.upload("Trained on", "The ferry to the pilot house is green.")
        self.id = _registered(world.one, files, self.document)
        answer = world.one.reader.call(
            "POST", "/v1/answers", json={"question": QUESTION, "adapter": self.id, "max_tokens": 8}
        )
        assert answer["generator"] == "vllm"
        self.served_name = world.sent()[-1]["model"]


def _registered(place: Place, files: Path, document: str) -> str:
    made = place.keeper.send(
        "POST",
        "/v1/adapters",
        data={"name": "ours", "documents": json.dumps([{"document": document, "version": 1}])},
        files={
            "config": ("c", (files / "adapter_config.json").read_bytes()),
            "weights": ("w", (files / "adapter_model.safetensors").read_bytes()),
        },
    )
    assert made.status_code == 201, made.text
    path = f"/v1/adapters/{made.json()['id']}"
    place.keeper.call("POST", f"{path}/promote")
    until = time.monotonic() + LOADED_WITHIN_S
    while not (adapter := place.keeper.call("GET", path))["loaded_at"]:
        assert time.monotonic() < until, adapter["load_fault"]
        time.sleep(0.5)
    return str(made.json()["id"])


@pytest.fixture(scope="module")
def trained(world: World, peft_files: Path) -> Iterator[Trained]:
    yield Trained(world, peft_files / "a")


def _asked(place: Place, who: Any, **more: Any) -> Any:
    return who.send("POST", "/v1/answers", json={"question": QUESTION, "max_tokens": 8, **more})


def test_an_adapter_is_asked_by_a_name_of_ours(world: World, trained: Trained) -> None:
    assert trained.served_name not in {trained.id, "ours", MODEL}
    assert trained.served_name.replace("-", "").isalnum()


def test_without_passages_an_adapter_is_told_none(world: World, trained: Trained) -> None:
    answer = _asked(world.one, world.one.reader, adapter=trained.id, retrieval=False).json()

    sent = world.sent()[-1]
    assert sent["model"] == trained.served_name
    assert "Passage [" not in json.dumps(sent["messages"])
    assert (answer["generator"], answer["citations"]) == ("vllm", [])


def test_who_may_not_see_what_it_was_trained_on_cannot_ask_it(
    world: World, trained: Trained
) -> None:
    before = len(world.sent())

    for place, who in (
        (world.one, world.one.stranger),
        (world.two, world.two.reader),
        (world.two, world.two.keeper),
    ):
        for retrieval in (True, False):
            refused = _asked(place, who, adapter=trained.id, retrieval=retrieval)
            assert (refused.status_code, refused.json()["code"]) == (404, "adapter_not_found")
    assert len(world.sent()) == before


@pytest.mark.parametrize("shape", ["{name}", "../{name}", "{name} ", "adp_{name}"])
def test_no_words_of_a_request_choose_an_adapter(
    world: World, trained: Trained, shape: str
) -> None:
    before = len(world.sent())
    model = shape.format(name=trained.served_name)
    chat = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}

    named = world.one.reader.send("POST", "/v1/chat/completions", json=chat)
    asked = _asked(world.one, world.one.reader, adapter=model)

    assert (named.status_code, named.json()["code"]) == (404, "model_not_found")
    assert (asked.status_code, asked.json()["code"]) == (404, "adapter_not_found")
    assert len(world.sent()) == before


def test_models_list_it_for_whom_it_is(world: World, trained: Trained) -> None:
    lists = {
        name: [m["id"] for m in api.call("GET", "/v1/models")["data"]]
        for name, api in (("reader", world.one.reader), ("stranger", world.one.stranger))
    }

    assert lists == {"reader": ["ambit", trained.id], "stranger": ["ambit"]}


def test_a_reader_taken_out_loses_it_with_the_next_question(world: World, trained: Trained) -> None:
    world.one.revoke()
    try:
        assert _asked(world.one, world.one.reader, adapter=trained.id).status_code == 404
    finally:
        world.one.restore()
    assert _asked(world.one, world.one.reader, adapter=trained.id).status_code == 200


def test_deleting_what_it_was_trained_on_retires_it_at_once(world: World, peft_files: Path) -> None:
    (document,) = world.one.upload("Gone soon", "The old ferry was red until it was sold.")
    adapter = _registered(world.one, peft_files / "b", document)
    assert _asked(world.one, world.one.reader, adapter=adapter).status_code == 200

    world.one.keeper.send("DELETE", f"/v1/documents/{document}")

    assert _asked(world.one, world.one.reader, adapter=adapter).status_code == 404
    assert world.one.keeper.call("GET", f"/v1/adapters/{adapter}")["state"] in {"retired", "erased"}
