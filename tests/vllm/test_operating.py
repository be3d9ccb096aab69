"""What workers and probes ask of each replica, where one of several does not do it."""

from __future__ import annotations

import io
import json
import time

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from ambit.inference import probes
from ambit.inference.caches import CacheReset, reset_prefix_caches
from ambit.inference.lora import AdapterNotLoaded, load_adapter, loaded_adapters, unload_adapter
from ambit.inference.operating import ReplicaFailed
from ambit.inference.probes import probed_replicas
from ambit.inference.wire import InvalidAdapterName
from tests.vllm.scripted import HOLD, ScriptedServer, Step, json_answer, refusal
from tests.vllm.serving import Served

OK = (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",)
REDIRECT = (b"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",)


def listed(*adapters: str, model: str = "m", root: str = "/adapters/{}") -> tuple[Step]:
    served = [{"id": model, "root": "/models/base", "parent": None}]
    served += [{"id": name, "root": root.format(name), "parent": model} for name in adapters]
    return (json_answer({"object": "list", "data": served}),)


def paths(server: ScriptedServer) -> list[bytes]:
    return [request.split(b" ", 2)[1] for request in server.requests]


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "FRESH_S", -1)
    monkeypatch.setattr(probes, "PROBE_S", 0.5)


def test_an_adapter_is_loaded_into_every_replica_with_the_operators_key(
    served: Served, settings: Settings
) -> None:
    servers = [served(OK), served(OK)]
    settings.AMBIT_VLLM_ADMIN_KEY = "operator-77"

    load_adapter(name="a-1", path="/adapters/a-1")

    for server in servers:
        assert paths(server) == [b"/v1/load_lora_adapter"]
        assert server.body() == {"lora_name": "a-1", "lora_path": "/adapters/a-1"}
        assert b"authorization: bearer operator-77" in server.requests[0].lower()


def test_one_replica_at_fault_is_named_and_the_others_have_the_adapter(served: Served) -> None:
    servers = [served((refusal(400),), listed()), served(OK)]

    with pytest.raises(AdapterNotLoaded) as raised:
        load_adapter(name="a-1", path="/adapters/a-1")

    assert (raised.value.replica, raised.value.status) == ("1", 400)
    assert "secret" not in repr(raised.value)
    assert paths(servers[1]) == [b"/v1/load_lora_adapter"]


def test_loading_again_does_nothing(served: Served) -> None:
    served((refusal(400),), listed("a-1"))

    load_adapter(name="a-1", path="/adapters/a-1")


def test_a_name_that_stands_for_another_path_is_no_success(served: Served) -> None:
    served((refusal(400),), listed("a-1", root="/adapters/another"))

    with pytest.raises(AdapterNotLoaded):
        load_adapter(name="a-1", path="/adapters/a-1")


def test_unloading_what_is_not_there_is_done_and_what_stays_is_not(served: Served) -> None:
    served((refusal(404),), listed("a-2"))
    unload_adapter(name="a-1")

    served((refusal(404),), listed("a-1"))
    with pytest.raises(ReplicaFailed) as raised:
        unload_adapter(name="a-1")

    assert raised.value.replica == "2"


def test_every_replica_unloads_even_when_one_is_down(served: Served) -> None:
    down, up = served(()), served(OK)

    with pytest.raises(ReplicaFailed) as raised:
        unload_adapter(name="a-1")

    assert (raised.value.replica, raised.value.reason) == ("1", "unreachable")
    assert paths(up) == [b"/v1/unload_lora_adapter"]
    assert len(down.requests) == 1


@pytest.mark.parametrize("name", ["../t1", "A-1", ""])
def test_a_name_that_may_be_a_path_is_never_sent(served: Served, name: str) -> None:
    server = served(OK)

    with pytest.raises(InvalidAdapterName):
        load_adapter(name=name, path="/adapters/x")
    with pytest.raises(InvalidAdapterName):
        unload_adapter(name=name)

    assert server.requests == []


def test_loaded_means_loaded_everywhere(served: Served) -> None:
    served(listed("a-1", "a-2"))
    served(listed("a-2", "a-3"))

    assert loaded_adapters() == {"a-2"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((), "unreachable"),
        ((refusal(502),), "unreachable"),
        ((refusal(401),), "credentials"),
        ((refusal(500),), "failed"),
        ((json_answer([1]),), "failed"),
        ((json_answer({"data": 7}),), "failed"),
        (REDIRECT, "failed"),
        ((b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000_000,), "failed"),
    ],
)
def test_what_a_replica_has_loaded_is_never_guessed(
    served: Served, answer: tuple[bytes, ...], reason: str
) -> None:
    served(listed("a-1"))
    served(answer)

    with pytest.raises(ReplicaFailed) as raised:
        loaded_adapters()

    assert (raised.value.replica, raised.value.reason) == ("2", reason)


def test_each_replica_says_what_became_of_its_cache(served: Served) -> None:
    first = served((json_answer({"success": True}),))
    for answer in (
        json_answer({"success": False}),
        refusal(404),
        refusal(500),
        json_answer("yes"),
        refusal(401),
    ):
        served((answer,))
    served(())

    outcomes = reset_prefix_caches()

    assert outcomes == [
        CacheReset("1", "emptied"),
        CacheReset("2", "held"),
        CacheReset("3", "not_offered"),
        CacheReset("4", "failed"),
        CacheReset("5", "failed"),
        CacheReset("6", "credentials"),
        CacheReset("7", "unreachable"),
    ]
    assert paths(first)[0].startswith(b"/reset_prefix_cache?")


def test_the_command_says_of_each_replica_what_became_of_its_cache(served: Served) -> None:
    servers = [served((json_answer({"success": True}),)) for _ in range(2)]
    said = io.StringIO()

    call_command("empty_model_caches", stdout=said)

    assert said.getvalue().splitlines() == ["Replica 1: emptied.", "Replica 2: emptied."]
    for server in servers:
        (path,) = paths(server)
        assert path == b"/reset_prefix_cache?reset_running_requests=true&reset_external=true"
        assert b"authorization: bearer k-5d1c" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (json_answer({"success": False}), "not emptied: requests at work hold some of it"),
        (refusal(404), "start it with VLLM_SERVER_DEV_MODE=1"),
        (refusal(401), "AMBIT_VLLM_ADMIN_KEY is not its key"),
        (refusal(500), "not emptied: its answer was not vLLM's"),
        (None, "not emptied: nobody answers there"),
    ],
)
def test_the_command_fails_where_one_cache_could_not_be_emptied_and_empties_the_others(
    served: Served, answer: bytes | None, words: str
) -> None:
    served((answer,) if answer else ())
    other = served((json_answer({"success": True}),))
    said = io.StringIO()

    with pytest.raises(CommandError, match="1 of 2 not emptied"):
        call_command("empty_model_caches", stdout=said)

    first, second = said.getvalue().splitlines()
    assert first.startswith("Replica 1: ")
    assert words in first
    assert second == "Replica 2: emptied."
    assert len(other.requests) == 1


def test_the_command_empties_nothing_where_no_server_is_named(settings: Settings) -> None:
    settings.AMBIT_VLLM_ADMIN_URL = ""

    with pytest.raises(CommandError, match="AMBIT_VLLM_ADMIN_URL names no server"):
        call_command("empty_model_caches")


def test_without_a_server_nothing_is_emptied_and_nothing_loaded(settings: Settings) -> None:
    settings.AMBIT_VLLM_ADMIN_URL = ""

    assert reset_prefix_caches() == []
    with pytest.raises(ReplicaFailed) as raised:
        loaded_adapters()
    assert raised.value.reason == "not_configured"


def test_a_probe_says_how_each_replica_stands(served: Served) -> None:
    for answer in (listed(), listed(model="another"), (refusal(401),), (), (HOLD,)):
        served(answer)

    found = probed_replicas()

    assert [(replica.label, replica.answer) for replica in found] == [
        ("1", "serves"),
        ("2", "other_model"),
        ("3", "refuses_key"),
        ("4", "silent"),
        ("5", "silent"),
    ]
    assert [replica.is_ready for replica in found] == [True, False, False, False, False]


def test_a_replica_that_drips_its_answer_holds_no_probe_up(served: Served) -> None:
    served((b"HTTP/1.1 200 OK\r\n\r\n", *[step for _ in range(40) for step in (0.2, b" ")]))

    started = time.monotonic()

    assert [replica.answer for replica in probed_replicas()] == ["silent"]
    assert time.monotonic() - started < 3


def test_what_a_probe_found_is_asked_once_in_a_while(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "FRESH_S", 60)
    server = served(listed())

    for _ in range(3):
        probed_replicas()

    assert len(server.requests) == 1
    assert json.dumps([replica.label for replica in probed_replicas()]) == '["1"]'


def test_without_a_server_there_is_nothing_to_probe(settings: Settings) -> None:
    settings.AMBIT_VLLM_URL = ""

    assert probed_replicas() == []
