"""The client of the model server against servers that say what no real one can be made to say."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pytest_django.fixtures import Settings

from ambit.inference import connections, stream, vllm
from ambit.inference.vllm import (
    Completion,
    GenerationRefused,
    GenerationUnavailable,
    chat,
)
from ambit.inference.wire import InvalidAdapterName
from tests.vllm.scripted import (
    DONE,
    HOLD,
    STREAM,
    USAGE,
    WHOLE,
    delta,
    event,
    refusal,
)
from tests.vllm.server import ADAPTER_FLAGS, CPU_FLAGS, RECOMMENDED_FLAGS
from tests.vllm.serving import SALT, Served, answered, order, run, whole

README = Path(__file__).parents[2] / "deploy" / "vllm" / "README.md"
SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("url", "key", "model"),
    [
        ("", "k", "m"),
        ("http://127.0.0.1:9", "k", ""),
        ("http://127.0.0.1:9,", "k", "m"),
        ("file:///etc/passwd", "k", "m"),
        ("127.0.0.1:9", "k", "m"),
        ("http://127.0.0.1:nine", "k", "m"),
        ("http://127.0.0.1:9", "line\nbreak", "m"),
        ("http://127.0.0.1:9", "kéy", "m"),
    ],
)
def test_without_a_usable_server_in_the_settings_nothing_is_asked(
    settings: Settings, url: str, key: str, model: str
) -> None:
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_KEY, settings.AMBIT_VLLM_MODEL = url, key, model

    with pytest.raises(GenerationUnavailable) as raised:
        answered()

    assert raised.value.reason == "not_configured"


def test_a_proxy_named_in_the_environment_never_sees_a_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def routes() -> bool:
        client = await connections.loop_client()
        return any(client._mounts.values())

    assert run(routes()) is False


def test_line_separators_inside_a_token_do_not_break_the_stream(served: Served) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x1cf"
    served((STREAM, delta(text), delta("", "stop"), USAGE, DONE))

    assert answered() == Completion(text, 9, 2, 4, "stop")


def test_keep_alive_comments_and_empty_deltas_are_no_text(served: Served) -> None:
    role = event(choices=[{"delta": {"role": "assistant", "content": None}}])
    served((STREAM, b": keep-alive\n\n", role, delta("five"), delta("", "length"), USAGE, DONE))

    completion = answered()

    assert (completion.text, completion.finish_reason) == ("five", "length")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((delta("five"),), "cut_short"),
        ((delta("five", "stop"), USAGE), "cut_short"),
        ((delta("five"), DONE), "cut_short"),
        ((delta("five", "abort"), USAGE, DONE), "cut_short"),
        ((DONE,), "cut_short"),
        ((), "cut_short"),
        ((b"data: {not json\n\n",), "failed"),
        ((b"data: [1]\n\n",), "failed"),
        ((b"data: " + b"[" * 100_000 + b"\n\n",), "failed"),
        ((b"data: " + b"x" * 3_000_000 + b"\n\n",), "failed"),
        ((event(choices=[7]),), "failed"),
        ((event(choices=[{"delta": {"content": 7}}]),), "failed"),
        ((event(choices=[], usage={"prompt_tokens": "many"}),), "failed"),
        ((delta("five"), event(error={"message": "secret", "code": 500}), DONE), "failed"),
        ((delta("five"), event(error={"message": "secret", "code": 503}), DONE), "failed"),
        ((event(error="secret"), DONE), "failed"),
        ((delta("five"), b'data: {"choices": "\xff\xfe"}\n\n', DONE), "garbled"),
        ((b"data: \xc3(\n\n",), "garbled"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_answer(
    served: Served, caplog: pytest.LogCaptureFixture, events: tuple[bytes, ...], reason: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server = served((STREAM, *events))

    with pytest.raises(GenerationUnavailable) as raised:
        answered()

    assert raised.value.reason == reason
    assert raised.value.__cause__ is None
    assert "secret" not in repr(raised.value)
    assert "five" not in str([record.__dict__ for record in caplog.records])
    assert len(server.requests) == 1
    server.wait_until_closed()


def test_an_answer_of_another_kind_is_no_answer(served: Served) -> None:
    served((b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello",))

    with pytest.raises(GenerationUnavailable) as raised:
        answered()

    assert raised.value.reason == "failed"


@pytest.mark.parametrize(
    ("status", "reason", "n_requests"),
    [
        (503, "busy", 2),
        (502, "unreachable", 2),
        (504, "unreachable", 2),
        (429, "busy", 1),
        (500, "failed", 1),
        (302, "failed", 1),
    ],
)
def test_a_server_that_cannot_now_is_named_and_asked_again_where_nothing_began(
    served: Served, status: int, reason: str, n_requests: int
) -> None:
    server = served((refusal(status),))

    with pytest.raises(GenerationUnavailable) as raised:
        answered()

    assert (raised.value.reason, raised.value.status) == (reason, status)
    assert len(server.requests) == n_requests
    server.wait_until_closed()


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (401, "secret", "credentials"),
        (400, "maximum context length of secret", "context_overflow"),
        (404, "The model `secret` does not exist.", "model"),
        (400, "Failed to transform json schema into a grammar: secret", "schema"),
        (400, "The provided JSON schema contains features not supported by xgrammar.", "schema"),
        (404, "secret", "request"),
        (413, "secret", "request"),
    ],
)
@pytest.mark.parametrize("in_stream", [False, True])
def test_a_refusal_is_named_and_not_repeated(
    served: Served, status: int, words: str, reason: str, *, in_stream: bool
) -> None:
    told = event(error={"message": words, "code": status})
    server = served((STREAM, told, DONE) if in_stream else (refusal(status, message=words),))

    with pytest.raises(GenerationRefused) as raised:
        answered()

    assert (raised.value.reason, raised.value.status) == (reason, status)
    assert "secret" not in repr(raised.value)
    assert len(server.requests) == 1


def test_a_full_queue_told_inside_the_stream_is_tried_again(served: Served) -> None:
    full = (STREAM, event(error={"message": "secret", "code": 503}), DONE)
    server = served(full, WHOLE)

    assert answered().text == "five days"
    assert len(server.requests) == 2
    assert server.requests[0].lower() != server.requests[1].lower(), "the request's id is a new one"


def test_a_server_that_says_nothing_is_slow_and_tried_once_more(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "STATUS_LINE_S", 0.2)
    server = served((HOLD,))

    with pytest.raises(GenerationUnavailable) as raised:
        answered()

    assert raised.value.reason == "slow"
    assert len(server.requests) == 2
    server.wait_until_closed()


def test_a_server_that_queued_a_request_may_take_its_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "STATUS_LINE_S", 0.1)
    served((STREAM, 0.5, *WHOLE[1:]))

    assert answered().text == "five days"


def test_nothing_is_asked_again_after_the_first_word(served: Served) -> None:
    server = served((STREAM, delta("five")), WHOLE)

    with pytest.raises(GenerationUnavailable):
        answered()

    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["", "../loras/t1", "A", "a" * 65, "a b", "a\n", "é"])
def test_an_adapter_is_never_named_by_what_may_be_a_path(served: Served, name: str) -> None:
    server = served(WHOLE)

    with pytest.raises(InvalidAdapterName):
        run(whole(order(adapter=name)))

    assert server.requests == []


def test_adapter_schema_and_priority_go_over_the_wire(served: Served) -> None:
    server = served(WHOLE)

    run(whole(order(adapter="7f3a-01", schema=SCHEMA, priority=3, max_tokens=9)))

    body = server.body()
    assert (body["model"], body["priority"], body["max_completion_tokens"]) == ("7f3a-01", 3, 9)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA


def test_half_a_surrogate_pair_is_sent_as_a_question_mark(served: Served) -> None:
    server = served(WHOLE)

    run(chat(messages=[{"role": "user", "content": "a\ud800b"}], cache_salt=SALT, deadline_s=5))

    assert server.body()["messages"][0]["content"] == "a?b"


ENDLESS = tuple(delta("\n" * 20) for _ in range(stream.WHITESPACE_MAX // 20 + 1))


def test_endless_whitespace_in_place_of_json_is_stopped(served: Served) -> None:
    server = served((STREAM, delta('{"days":'), *ENDLESS, HOLD))

    async def stopped() -> float:
        with pytest.raises(GenerationUnavailable) as raised:
            await whole(order(schema=SCHEMA))
        assert raised.value.reason == "whitespace"
        return await asyncio.to_thread(server.wait_until_closed)

    assert run(stopped()) < 0.5
    assert len(server.requests) == 1


def test_whitespace_that_a_text_may_have_is_no_rut(served: Served) -> None:
    blank = tuple(delta("x" + " " * 200) for _ in range(5))
    served((STREAM, *blank, delta("}", "stop"), USAGE, DONE))

    assert run(whole(order(schema=SCHEMA)))[0].endswith("}")


def test_a_text_without_a_schema_may_have_any_whitespace(served: Served) -> None:
    served((STREAM, *ENDLESS, delta("five", "stop"), USAGE, DONE))

    assert run(whole(order()))[0].endswith("five")


@pytest.mark.parametrize("flag", [*RECOMMENDED_FLAGS, *ADAPTER_FLAGS[:1]])
def test_what_the_tests_start_is_what_the_readme_recommends(flag: str) -> None:
    assert flag in README.read_text()


@pytest.mark.parametrize("flag", CPU_FLAGS)
def test_what_only_a_cpu_needs_is_not_recommended(flag: str) -> None:
    assert f"\n  {flag}" not in README.read_text()


def test_what_compose_starts_is_what_the_tests_start() -> None:
    services = yaml.safe_load((README.parent / "compose.yaml").read_text())["services"]
    (command,) = services["vllm"]["command"]
    image, _, version = services["vllm"]["image"].rpartition(":v")

    assert [flag for flag in (*RECOMMENDED_FLAGS, *ADAPTER_FLAGS[:1]) if flag not in command] == []
    assert image == "vllm/vllm-openai"
    assert tuple(map(int, version.split("."))) >= (0, 33, 0)
    assert services["vllm"]["networks"] == ["inner"], "the proxy is the one way to it"
    assert [name for name, service in services.items() if "ports" in service] == []
    assert {tuple(service["profiles"]) for service in services.values()} == {("gpu",)}
    mounted = [where.rsplit(":", 2)[1] for where in services["vllm"]["volumes"]]
    (at_once,) = re.findall(r"--max-num-seqs (\d+)", command)
    readme = README.read_text()
    assert "| `AMBIT_VLLM_ADAPTERS_DIR` | `/adapters`" in readme and "/adapters" in mounted
    assert (
        f"| `AMBIT_VLLM_CONCURRENCY` | `--max-num-seqs` of all replicas in sum, here {at_once} |"
        in readme
    )


def test_keys_are_for_the_groups_named_and_stay_when_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "keys"
    make = ["sh", str(README.parent / "keys.sh"), str(folder)]
    subprocess.run(make, check=True)
    alone = {
        file.name: (file.stat().st_mode & 0o777, file.read_text()) for file in folder.iterdir()
    }
    subprocess.run([*make, str(os.getgid()), str(os.getgid())], check=True)
    shared = {
        file.name: (file.stat().st_mode & 0o777, file.read_text()) for file in folder.iterdir()
    }

    assert {mode for mode, _ in alone.values()} == {0o600}
    assert {name for name, (mode, _) in shared.items() if mode == 0o640} == {
        "ask_key",
        "operate_key",
        "watch_key",
    }
    assert {shared[name][0] for name in ("vllm_key", "proxy_keys")} == {0o600}
    assert {name: text for name, (_, text) in shared.items()} == {
        name: text for name, (_, text) in alone.items()
    }
    assert [place.stat().st_mode & 0o777 for place in (folder.parent, folder)] == [0o755, 0o711]
