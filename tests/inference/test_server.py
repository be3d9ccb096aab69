"""The embedding service as any OpenAI client meets it."""

from __future__ import annotations

import base64
import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import numpy as np
import pytest

from ambit.inference.http import open_client
from tests.inference.conftest import ROOT, Service, start, wait_until_ready

SENTENCE = "The travel budget for 2026 is 240,000 euros."


@pytest.fixture
def client(running: Service) -> Iterator[httpx2.Client]:
    with open_client(url=running.url) as opened:
        yield opened


def embeddings(client: httpx2.Client, given: object, **more: Any) -> list[np.ndarray]:
    response = client.post("/v1/embeddings", json={"input": given, **more}, timeout=60)
    assert response.status_code == 200, response.text
    rows = response.json()["data"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return [np.array(row["embedding"], dtype=np.float32) for row in rows]


def test_a_text_gets_a_vector_of_length_one(client: httpx2.Client) -> None:
    (vector,) = embeddings(client, SENTENCE)

    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_base64_says_the_same_as_numbers(client: httpx2.Client) -> None:
    (vector,) = embeddings(client, SENTENCE)

    response = client.post("/v1/embeddings", json={"input": SENTENCE, "encoding_format": "base64"})
    (row,) = response.json()["data"]

    assert np.array_equal(np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4"), vector)


def test_related_texts_are_nearer_than_unrelated_ones(client: httpx2.Client) -> None:
    question, near, far = embeddings(
        client, ["How much may we spend on trips?", SENTENCE, "The crane stops in strong wind."]
    )

    assert question @ near > question @ far + 0.2


def test_a_text_gets_the_same_vector_alone_and_among_longer_ones(client: httpx2.Client) -> None:
    texts = [f"{SENTENCE} " * n + "Trains come first." for n in range(1, 25)]

    together = embeddings(client, texts)

    for n in (0, 7, 23):
        (alone,) = embeddings(client, texts[n])
        assert together[n] @ alone > 0.999


def test_a_text_over_the_models_maximum_is_cut(client: httpx2.Client) -> None:
    response = client.post("/v1/embeddings", json={"input": "word " * 5000}, timeout=60)

    assert response.status_code == 200
    assert response.json()["usage"]["prompt_tokens"] == 256


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": []},
        {"input": ""},
        {"input": [" \n"]},
        {"input": ["fine", ""]},
        {"input": ["fine", 7]},
        {"input": [[1, 2, 3]]},
        {"input": {"text": "fine"}},
        {"input": ["fine"] * 257},
        {"input": "fine", "encoding_format": "hex"},
        {"input": "fine", "dimensions": 128},
        {"input": "half a pair: \ud800"},
        ["fine"],
        "fine",
        None,
    ],
)
def test_bad_input_is_400_and_is_not_quoted(client: httpx2.Client, body: object) -> None:
    response = client.post("/v1/embeddings", content=json.dumps(body).encode())

    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "code"}
    assert "fine" not in response.text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_400(client: httpx2.Client, content: bytes) -> None:
    assert client.post("/v1/embeddings", content=content).status_code == 400


def test_an_unknown_priority_is_400(client: httpx2.Client) -> None:
    response = client.post(
        "/v1/embeddings", json={"input": "fine"}, headers={"Ambit-Priority": "urgent"}
    )

    assert response.status_code == 400


def test_another_model_is_404(client: httpx2.Client) -> None:
    response = client.post("/v1/embeddings", json={"input": "fine", "model": "other"})

    assert response.status_code == 404


def test_a_body_over_eight_mebibytes_is_413(client: httpx2.Client) -> None:
    response = client.post("/v1/embeddings", content=b" " * (8 * 1024 * 1024 + 1), timeout=60)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/embeddings", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/completions", 404),
        ("GET", "/health", 200),
    ],
)
def test_only_three_addresses_are_served(
    client: httpx2.Client, method: str, path: str, status: int
) -> None:
    assert client.request(method, path).status_code == status


def test_the_model_and_its_width_are_told(client: httpx2.Client) -> None:
    listed = client.get("/v1/models").json()

    assert listed["data"][0]["id"] == "all-MiniLM-L6-v2"
    assert listed["dimensions"] == 384


def test_the_socket_is_its_owners_alone(running: Service) -> None:
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o600


def test_what_was_asked_is_not_logged(client: httpx2.Client, running: Service) -> None:
    embeddings(client, "Quillfeather owes 4711 euros")
    client.post("/v1/embeddings", content=b'{"input": "Quillfeather')

    assert "Quillfeather" not in running.log.read_text()


def test_a_second_service_on_the_same_socket_does_not_start(running: Service) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "ambit.inference.server", "--socket", str(running.socket)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert second.returncode == 1
    assert "Another process serves" in second.stderr
    with open_client(url=running.url) as still_there:
        assert still_there.get("/health").status_code == 200


def test_a_port_is_not_served_without_a_key(tmp_path: Path) -> None:
    service = start(tmp_path, "--port", "8099")

    assert service.process.wait(timeout=60) == 1
    assert "Set AMBIT_EMBED_KEY" in service.log.read_text()


def test_the_key_is_asked_for_and_the_service_leaves_nothing_behind() -> None:
    with TemporaryDirectory(prefix="ambit-embed-") as folder:
        # A socket that a killed service left behind is taken over.
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(f"{folder}/embed.sock")
        service = start(
            Path(folder), "--socket", f"{folder}/embed.sock", AMBIT_EMBED_KEY="a key of the test"
        )
        try:
            wait_until_ready(service)
            with open_client(url=service.url) as client:
                statuses = [
                    client.post(
                        "/v1/embeddings", json={"input": "fine"}, headers=headers
                    ).status_code
                    for headers in (
                        {},
                        {"Authorization": "Bearer a key"},
                        {"Authorization": "Bearer a key of the test"},
                    )
                ]
        finally:
            service.process.terminate()
            code = service.process.wait(timeout=20)

        assert statuses == [401, 401, 200]
        assert code == 0
        assert not service.socket.exists()
