"""Bodies: none too large, none on disk under a name, none lost when the broker is down."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from ambit.api.uploads import limit_body, max_file_bytes
from tests.cast import Cast


def drive(
    messages: list[dict[str, Any]],
    headers: list[tuple[bytes, bytes]],
    *,
    path: str = "/v1/documents",
    max_bytes: int | None = 1000,
) -> tuple[Any, Any]:
    """Send messages through limit_body to an application that echoes the body's length."""
    sent: list[dict[str, Any]] = []
    seen: dict[str, Any] = {}
    waiting = list(messages)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        seen.update(size=size, headers=dict(scope["headers"]))

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": headers}

    async def run() -> None:
        await limit_body(app, max_bytes=max_bytes)(scope, receive, send)

    asyncio.run(run())
    return sent, seen


def chunks(*sizes: int) -> list[dict[str, Any]]:
    return [
        {"type": "http.request", "body": b"x" * size, "more_body": place < len(sizes) - 1}
        for place, size in enumerate(sizes)
    ]


def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    sent, seen = drive(chunks(600, 600), [(b"content-length", b"1200")])

    assert seen == {}
    assert sent[0]["status"] == 413
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "body_too_large"


@pytest.mark.parametrize("declared", [b"-1", b"many", b"1e9", b""])
def test_a_length_that_is_none_is_refused(declared: bytes) -> None:
    sent, seen = drive(chunks(1), [(b"content-length", declared)])

    assert (seen, sent[0]["status"]) == ({}, 413)


def test_chunks_are_counted_and_handed_on_with_their_length() -> None:
    chunked = [(b"transfer-encoding", b"chunked")]

    _, seen = drive(chunks(400, 400, 0), chunked)
    sent, refused = drive(chunks(400, 400, 400), chunked)

    assert (seen["size"], seen["headers"]) == (800, {b"content-length": b"800"})
    assert (refused, sent[0]["status"]) == ({}, 413)


def test_a_body_within_the_limit_passes_untouched() -> None:
    _, seen = drive(chunks(500, 500), [(b"content-length", b"1000")])

    assert seen["size"] == 1000


def test_a_file_over_the_limit_is_refused_and_nothing_is_stored(cast: Cast, settings: Any) -> None:
    settings.AMBIT_MAX_UPLOAD_MB = 1
    form = {
        "file": SimpleUploadedFile("big.txt", b"x" * (max_file_bytes() + 1), "text/plain"),
        "collection": cast.here.collection,
    }

    response = cast.alice.post("/v1/documents", form, format="multipart")

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert cast.alice.get("/v1/documents").json()["results"] == []


def test_an_upload_leaves_no_named_file_behind(cast: Cast, settings: Any, tmp_path: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    seen: list[list[str]] = []
    form = {
        "file": SimpleUploadedFile("a.txt", b"x" * 4_000_000, "text/plain"),
        "collection": cast.here.collection,
    }
    real = os.listdir

    response = cast.alice.post("/v1/documents", form, format="multipart")
    seen.append(real(tmp_path))

    assert response.status_code == 202
    assert seen == [[]]
    stored = list(Path(settings.AMBIT_ORIGINALS_DIR).rglob("*.original"))
    assert all(b"xxxxxxxx" not in p.read_bytes() for p in stored)


def test_with_the_broker_down_an_upload_is_accepted(
    cast: Cast, settings: Any, tmp_path: Path
) -> None:
    from ambit.jobs import broker

    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock?db=0"
    broker._sender.cache_clear()
    try:
        response = cast.alice.post(
            "/v1/documents", {"collection": cast.here.collection, "title": "T", "text": "t"}
        )
    finally:
        broker._sender.cache_clear()

    assert response.status_code == 202
    assert cast.alice.get(response.headers["Location"]).status_code == 200


def test_a_300_mb_upload_is_refused_early_by_the_real_server(server: str, cast: Cast) -> None:
    host, port = urlsplit(server).hostname, urlsplit(server).port
    head = (
        f"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {cast.alice.key}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {300 << 20}\r\n\r\n"
    )
    with socket.create_connection((host, port or 80), timeout=20) as connection:
        connection.sendall(head.encode() + b"x" * 100_000)
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413")
