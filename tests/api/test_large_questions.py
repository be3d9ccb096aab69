"""A question of any size holds up nobody: what is too long is refused unread, and the rest is read in a thread."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from typing import Any
from typing import cast as cast_to
from urllib.parse import urlsplit

import pytest
from django.urls import get_resolver
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.parsers import BaseParser

from ambit.api.asking import AskingView
from ambit.api.bodies import MAX_BRACKETS, MAX_UNKNOWN, QuestionParser
from ambit.api.chat_shapes import MAX_CHAT, MAX_MESSAGES, CompletionInput, Messages
from ambit.api.docs import openapi
from ambit.api.uploads import CHAT, MAX_QUESTION_BYTES, QUESTIONS
from tests.api.test_schema import _patterns
from tests.api.test_streams import CHAT as ASKED
from tests.api.test_uploads import chunks, drive
from tests.cast import Cast


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def model(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def refused(messages: Any) -> tuple[str | None, str]:
    with pytest.raises(ValidationError) as raised:
        Messages().to_internal_value(messages)
    (detail,) = cast_to(list[ErrorDetail], raised.value.detail)
    return detail.code, str(detail)


@pytest.mark.parametrize("path", sorted(QUESTIONS))
def test_a_question_that_says_it_is_too_long_is_refused_before_it_is_read(path: str) -> None:
    length = str(MAX_QUESTION_BYTES + 1).encode()

    sent, seen = drive(chunks(9), [(b"content-length", length)], path=path)

    told = json.loads(sent[1]["body"])
    assert (seen, sent[0]["status"], told["code"]) == ({}, 413, "body_too_large")
    assert "1 MiB" in told["detail"] and "AMBIT" not in told["detail"]
    assert ("error" in told) == (path == CHAT)
    if path == CHAT:
        assert told["error"]["type"] == "invalid_request_error"
        assert "1 MiB" in told["error"]["message"]


def test_a_question_in_chunks_is_refused_as_soon_as_it_is_too_long() -> None:
    chunked = [(b"transfer-encoding", b"chunked")]
    half = MAX_QUESTION_BYTES // 2

    _, seen = drive(chunks(half, half, 0), chunked, path=CHAT)
    sent, refused = drive(chunks(half, half, 1, half), chunked, path=CHAT)

    assert (seen["size"], refused, sent[0]["status"]) == (MAX_QUESTION_BYTES, {}, 413)


def test_what_is_no_question_may_be_longer() -> None:
    length = str(MAX_QUESTION_BYTES + 1).encode()

    _, seen = drive(chunks(9), [(b"content-length", length)], path="/v1/documents", max_bytes=None)

    assert seen["size"] == 9


def test_every_route_that_asks_has_the_limit() -> None:
    asking = {
        f"/v1/{pattern.pattern}"
        for pattern in _patterns(get_resolver().url_patterns)
        if issubclass(getattr(pattern.callback, "cls", object), AskingView)
    }
    limited = {
        path
        for path, item in openapi()["paths"].items()
        for operation in item.values()
        if "1 MiB" in operation["responses"].get("413", {}).get("description", "")
    }

    assert asking == QUESTIONS - {"/v1/search"}
    assert limited == QUESTIONS


def test_the_view_refuses_it_too_wherever_the_api_is_mounted(cast: Cast) -> None:
    body = json.dumps(ASKED).encode().ljust(MAX_QUESTION_BYTES + 1)

    for path in sorted(QUESTIONS):
        response = cast.bob.post(path, body, content_type="application/json")
        told = response.json()
        assert (response.status_code, told["code"]) == (413, "body_too_large")
        assert "1 MiB" in told["detail"] and "AMBIT" not in told["detail"]
        assert ("error" in told) == (path == CHAT)


def test_the_real_server_refuses_a_question_in_chunks(server: str, cast: Cast) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=20)
    body = iter([b'{"a":"', *[b"x" * (MAX_QUESTION_BYTES // 4)] * 5])
    headers = {"Authorization": f"Bearer {cast.bob.key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", CHAT, body, headers, encode_chunked=True)
        response = connection.getresponse()
        told = json.loads(response.read())
    finally:
        connection.close()

    assert (response.status, told["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", sorted(QUESTIONS - {"/v1/search"}))
def test_a_body_is_parsed_and_looked_at_once_and_off_the_loop(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    where: list[tuple[str, bool]] = []
    parse, read = QuestionParser.parse, CompletionInput.to_internal_value

    def on_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def parsing(self: BaseParser, *args: Any, **kwargs: Any) -> Any:
        where.append((threading.current_thread().name, on_loop()))
        return parse(self, *args, **kwargs)  # type: ignore[arg-type]  # the parser's own

    def reading(self: CompletionInput, data: Any) -> Any:
        where.append((threading.current_thread().name, on_loop()))
        return read(self, data)

    monkeypatch.setattr(QuestionParser, "parse", parsing)
    monkeypatch.setattr(CompletionInput, "to_internal_value", reading)

    # Refused after it was read, by the steps that read the question: 404 and 400.
    chat = {**ASKED, "model": "other"}
    plain = {"question": "Why?", "retrieval": False}
    response = cast.bob.post(path, chat if path == CHAT else plain)

    assert response.json()["code"] == ("model_not_found" if path == CHAT else "invalid")
    assert len(where) == (2 if path == CHAT else 1)
    assert all(name.startswith("ambit-read") and not is_on for name, is_on in where)


@pytest.mark.parametrize("unit", [b"[],", b"{},"])
def test_a_body_of_brackets_is_refused_unread(cast: Cast, unit: bytes) -> None:
    body = b'{"question": "Why?", "strange": [' + unit * (MAX_BRACKETS - 2)

    # Ends nowhere: whoever begins to read it says so.
    few, many = (
        cast.bob.post("/v1/answers", body + more, content_type="application/json").json()
        for more in (b"", unit)
    )

    assert few["code"] == "malformed_body"
    assert (many["code"], many["errors"][0]["code"]) == ("invalid", "max_length")
    assert f"{MAX_BRACKETS} opening brackets" in many["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body", [b"{", b'{"question": "\xff"}', b'{"question": ""}', b'{"strange": 1}']
)
def test_what_is_wrong_with_a_body_is_told_from_the_thread(cast: Cast, body: bytes) -> None:
    for path in ("/v1/answers", CHAT):
        response = cast.bob.post(path, body, content_type="application/json")

        assert response.status_code == 400
        assert response.json()["code"] in {"malformed_body", "invalid", "unknown_field"}
        assert response.json()["request_id"] == response.headers["X-Request-Id"]


def test_all_that_was_said_counts_and_is_measured_before_it_is_looked_at() -> None:
    held = Messages().to_internal_value([model("x" * (MAX_CHAT - 4)), user("Why?")])
    parts = [{"type": "text", "text": "x" * (MAX_CHAT // 2)}] * 2

    assert held.question == "Why?"
    for said in ("x" * (MAX_CHAT - 3), "\x00" * MAX_CHAT, parts):
        code, words = refused([{"role": "assistant", "content": said}, user("Why?")])
        assert code == "max_length" and f"{MAX_CHAT} characters" in words
    assert refused([model("\x00"), user("Why?")])[0] == "invalid"


def test_a_chat_has_so_many_messages_and_no_more_are_looked_at() -> None:
    code, words = refused([None] * (MAX_MESSAGES + 1))

    assert code == "max_length" and f"{MAX_MESSAGES} messages" in words
    assert Messages().to_internal_value([user("Why?")] * MAX_MESSAGES).question == "Why?"


def test_a_chat_at_its_limit_is_within_the_body_s() -> None:
    text = "\u6f22" * MAX_CHAT

    assert len(json.dumps([model(text)])) < 0.95 * MAX_QUESTION_BYTES


@pytest.mark.parametrize("text", ["a\x00", "\ud83d", "\udc00b", "x" * 99 + "\udfff"])
def test_half_characters_are_refused(text: str) -> None:
    assert refused([model(text), user("Why?")])[0] == "invalid"
    assert Messages().to_internal_value([user("\U0001f600")]).question == "\U0001f600"


@pytest.mark.parametrize("name", ["collections", "routes"])
def test_a_list_is_measured_before_what_is_in_it_is_read(cast: Cast, name: str) -> None:
    response = cast.bob.post("/v1/answers", {"question": "Why?", name: [0] * 100_000})

    (error,) = response.json()["errors"]
    assert (response.status_code, error["field"], error["code"]) == (400, name, "max_length")


def test_of_many_unknown_fields_a_few_are_named(cast: Cast) -> None:
    strange = {f"strange{n}": 0 for n in range(10_000)}

    response = cast.bob.post("/v1/answers", strange | {"question": "Why?"})

    assert (response.status_code, response.json()["code"]) == (400, "unknown_field")
    assert len(response.json()["errors"]) == MAX_UNKNOWN
