"""The client, against the real service and against foreign servers that answer wrongly."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings

from ambit.inference import embedding
from ambit.inference.embedding import (
    EmbeddingRefused,
    EmbeddingUnavailable,
    close_clients,
    embed_passages,
    embed_query,
    embed_sentences,
)
from tests.inference.conftest import Service

UNIT = [1.0, *[0.0] * 383]
PASSAGE = "The gate opens at half past five from Monday to Friday; lorries wait on Salt Road. " * 12


@contextmanager
def foreign(answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Run a server of someone else's; yield its URL and the headers it was sent."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path, dict(self.headers), asked))
            status, body = answer(asked)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        close_clients()
        server.shutdown()
        thread.join()
        server.server_close()


def rows(*vectors: Any) -> dict[str, Any]:
    return {"data": [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]}


def test_a_question_gets_a_vector_of_length_one(embedder: Service) -> None:
    vector = embed_query("When does the gate open?")

    assert vector.shape == (384,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_passages_come_back_in_order_and_progress_is_told(embedder: Service) -> None:
    texts = [f"Number {n}. " + "More words. " * (n % 9) for n in range(70)]
    told: list[int] = []

    vectors = embed_passages(texts, on_progress=told.append)

    assert told == [32, 64, 70]
    assert all(vectors[n] @ embed_query(texts[n]) > 0.999 for n in (0, 31, 32, 69))


def test_no_passages_ask_nobody(settings: Settings) -> None:
    settings.AMBIT_EMBED_URL = "unix:///nowhere/embed.sock"

    assert embed_passages([]) == []


def test_what_on_progress_raises_ends_the_work(embedder: Service) -> None:
    class ClaimLost(Exception):
        pass

    def lose(_done: int) -> None:
        raise ClaimLost

    with pytest.raises(ClaimLost):
        embed_passages(["a", "b"], on_progress=lose)


def test_a_question_overtakes_bulk_work(embedder: Service) -> None:
    # Three requests at once, so that the service always has bulk pieces waiting.
    begun = threading.Event()
    order: list[str] = []

    def bulk() -> None:
        embed_passages([PASSAGE] * 96, on_progress=lambda _: begun.set())
        order.append("bulk")

    threads = [threading.Thread(target=bulk) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    # Of several pieces each: a request of one piece goes before larger ones of its own kind, too.
    for _ in range(5):
        embed_sentences([PASSAGE] * 4)
        order.append("question")
    embed_query("When does the gate open?")
    order.append("question")
    for thread in threads:
        thread.join()

    assert order == ["question"] * 6 + ["bulk"] * 3


def test_a_client_that_hangs_up_does_not_keep_the_service_busy(
    embedder: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PASSAGES_PER_REQUEST", 256)
    a_quarter = _seconds(64)
    monkeypatch.setattr(embedding, "PASSAGES_DEADLINE_S", 0.3)
    with pytest.raises(EmbeddingUnavailable) as caught:
        embed_passages([PASSAGE] * 256)
    assert caught.value.reason == "slow"
    monkeypatch.setattr(embedding, "PASSAGES_DEADLINE_S", 60)

    assert _seconds(4) < a_quarter


def _seconds(n_passages: int) -> float:
    started = time.monotonic()
    embed_passages([PASSAGE] * n_passages)
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///nowhere/embed.sock", "unreachable"),
        ("http://127.0.0.1:9", "unreachable"),
        ("", "not_configured"),
        ("ftp://somewhere", "not_configured"),
        ("unix://relative.sock", "not_configured"),
    ],
)
def test_a_service_that_is_not_there_is_unavailable(
    settings: Settings, url: str, reason: str
) -> None:
    settings.AMBIT_EMBED_URL = url

    with pytest.raises(EmbeddingUnavailable) as caught:
        embed_query("When does the gate open?")

    assert caught.value.reason == reason


def test_a_service_that_says_nothing_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "QUERY_DEADLINE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.AMBIT_EMBED_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()

        with pytest.raises(EmbeddingUnavailable) as caught:
            embed_query("When does the gate open?")

        close_clients()
    assert caught.value.reason == "slow"
    assert time.monotonic() - started < 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_the_child_opens_connections_of_its_own(embedder: Service) -> None:
    before = embed_query("When does the gate open?")
    read, write = os.pipe()

    child = os.fork()
    if child == 0:
        same = embed_query("When does the gate open?") @ before > 0.999
        own = [place for place in embedding._CLIENTS if place[0] == os.getpid()]
        os.write(write, b"1" if same and len(own) == 1 else b"0")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 1) == b"1"
    assert embed_query("When does the gate open?") @ before > 0.999
    os.close(read)
    os.close(write)


def test_a_foreign_server_gets_the_key_and_the_models_name(settings: Settings) -> None:
    with foreign(lambda asked: (200, rows(*[UNIT for _ in asked["input"]]))) as (url, seen):
        settings.AMBIT_EMBED_URL = f"{url}/v1"
        settings.AMBIT_EMBED_KEY = "the key"
        settings.AMBIT_EMBED_MODEL = "their/model"

        embed_query("When does the gate open?")

    path, headers, asked = seen[0]
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == "Bearer the key"
    assert headers["Ambit-Priority"] == "query"
    assert asked["model"] == "their/model"


def test_a_foreign_vector_is_given_the_length_one(settings: Settings) -> None:
    encoded = base64.b64encode(struct.pack("<384f", *(3 * x for x in UNIT))).decode()
    with foreign(lambda _: (200, rows(encoded))) as (url, _):
        settings.AMBIT_EMBED_URL = url

        assert np.linalg.norm(embed_query("When?")) == pytest.approx(1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (rows(UNIT[:383]), "dimensions"),
        (rows([*UNIT, 0.0]), "dimensions"),
        (rows([UNIT]), "dimensions"),
        (rows([0.0] * 384), "vector"),
        (rows([float("nan"), *UNIT[1:]]), "vector"),
        (rows([float("inf"), *UNIT[1:]]), "vector"),
        (rows(["x", *UNIT[1:]]), "answer"),
        (rows("no base64!"), "answer"),
        (rows(base64.b64encode(b"12345").decode()), "answer"),
        (rows(None), "dimensions"),
        (rows(), "count"),
        (rows(UNIT, UNIT), "count"),
        ({"data": [{"index": 1, "embedding": UNIT}]}, "count"),
        ({"data": None}, "answer"),
        ([], "answer"),
        (b"<html>", "answer"),
    ],
)
def test_a_wrong_answer_is_refused(settings: Settings, body: Any, reason: str) -> None:
    with foreign(lambda _: (200, body)) as (url, _):
        settings.AMBIT_EMBED_URL = url

        with pytest.raises(EmbeddingRefused) as caught:
            embed_query("When does the gate open?")

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EmbeddingRefused),
        (401, EmbeddingRefused),
        (404, EmbeddingRefused),
        (429, EmbeddingUnavailable),
        (500, EmbeddingUnavailable),
        (503, EmbeddingUnavailable),
    ],
)
def test_a_failure_is_named_and_its_words_go_no_further(
    settings: Settings, caplog: pytest.LogCaptureFixture, status: int, error: type[Exception]
) -> None:
    with foreign(lambda asked: (status, asked)) as (url, _):
        settings.AMBIT_EMBED_URL = url

        with pytest.raises(error) as caught:
            embed_query("Quillfeather owes 4711 euros")

    assert "Quillfeather" not in f"{caught.value!r}{caught.value.__context__!r}{caplog.text}"
    assert caught.value.__cause__ is None


def test_an_empty_text_is_refused_before_anything_is_sent(settings: Settings) -> None:
    settings.AMBIT_EMBED_URL = "unix:///nowhere/embed.sock"

    with pytest.raises(EmbeddingRefused):
        embed_passages(["fine", " "])
