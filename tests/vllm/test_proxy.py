"""The proxy that deploy/vllm gives, before a real vLLM: what passes, and that nothing else does."""

from __future__ import annotations

import asyncio
import io
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from ambit.inference import probes
from ambit.inference.lora import AdapterNotLoaded, load_adapter, loaded_adapters
from ambit.inference.probes import probed_replicas
from ambit.inference.vllm import GenerationRefused, GenerationUnavailable, generating
from tests.vllm.proxy import Proxy, nginx, running_proxy
from tests.vllm.scripted import WHOLE
from tests.vllm.server import VllmServer, free_port
from tests.vllm.serving import Served, order, run, whole

SECRET_WORD = "Carvalho-salary-92000"
ENDLESS = 7000
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")
# What vLLM leaves open without a key, as its endpoint map of 0.32.0 has it; read from its log, too.
OPEN = {
    *("/invocations", "/tokenize", "/detokenize", "/metrics", "/version", "/load", "/ping"),
    *("/reset_prefix_cache", "/server_info", "/is_sleeping", "/sleep", "/wake_up"),
    *("/collective_rpc", "/adapters", "/abort_requests", "/update_weights", "/pause"),
}
ASKED = {("POST", "/v1/chat/completions"), ("GET", "/v1/models")}
OPERATED = {
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("POST", "/reset_prefix_cache"),
    ("GET", "/v1/models"),
}
WATCHED = {("GET", "/metrics"), ("GET", "/health")}


@pytest.fixture(scope="module")
def proxy(vllm_server: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Yield the proxy before the session's server."""
    if nginx() is None:
        pytest.skip("nginx is absent: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("proxy")
    with running_proxy(folder, vllm_url=vllm_server.url, vllm_key=vllm_server.key) as started:
        yield started


@pytest.fixture
def through(settings: Settings, configured: VllmServer, proxy: Proxy) -> VllmServer:
    """Point the settings at the proxy."""
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_KEY = proxy.ask_url, proxy.key("ask_key")
    settings.AMBIT_VLLM_ADMIN_URL = proxy.operate_url
    settings.AMBIT_VLLM_ADMIN_KEY = proxy.key("operate_key")
    return configured


def routes(server: VllmServer) -> set[str]:
    """Return every path that the server said it has as it started."""
    log = server.log.read_text(errors="replace")
    return {re.sub(r"{\w+}", "x", path) for path in re.findall(r"Route: (\S+), Methods", log)}


def passed(url: str, key: str, paths: set[str]) -> set[tuple[str, str]]:
    """Return what the proxy did not refuse by itself."""
    found = set()
    with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        for path in paths:
            for method in METHODS:
                answer = client.request(method, url + path, json={} if method == "POST" else None)
                if answer.status_code != 404 or "nginx" not in answer.text:
                    found.add((method, path))
    return found - {("HEAD", path) for path in paths}


def test_the_server_has_the_paths_that_the_proxy_is_for(through: VllmServer) -> None:
    assert routes(through) >= OPEN
    answer = httpx2.post(f"{through.url}/adapters", json={"name": "x", "src": "/x"}, timeout=30)
    assert "No adapter found" in answer.text, "vLLM lets anybody load an adapter"


def test_each_listener_passes_its_paths_and_no_other(through: VllmServer, proxy: Proxy) -> None:
    paths = routes(through) | {"/", "/docs", "/openapi.json", "/score", "/rerank", "/v1/embeddings"}
    assert len(paths) > 50

    found = [
        passed(proxy.ask_url, proxy.key("ask_key"), paths),
        passed(proxy.operate_url, proxy.key("operate_key"), paths),
        passed(proxy.watch_url, proxy.key("watch_key"), paths),
    ]

    assert found == [ASKED, OPERATED, WATCHED]


@pytest.mark.parametrize("name", ["", "vllm_key", "ask_key", "operate_key", "watch_key"])
def test_each_listener_asks_for_its_own_key(proxy: Proxy, name: str) -> None:
    headers = {"Authorization": f"Bearer {proxy.key(name)}"} if name else {}

    statuses = {
        listener: {
            httpx2.request(method, url + path, headers=headers, timeout=60).status_code == 401
            for method, path in paths
        }
        for listener, url, paths in (
            ("ask_key", proxy.ask_url, ASKED),
            ("operate_key", proxy.operate_url, OPERATED),
            ("watch_key", proxy.watch_url, WATCHED),
        )
    }

    assert statuses == {listener: {listener != name} for listener in statuses}


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/../../metrics",
        "/v1/models/%2e%2e/%2e%2e/metrics",
        "/v1/models%2f..%2f..%2fmetrics",
        "//metrics",
        "/v1/models/",
        "/V1/MODELS",
        "/v1/models;/../../metrics",
        "/v1/models%00/metrics",
        "/v1/models\\..\\..\\metrics",
        "http://vllm:8000/metrics",
        "http://127.0.0.1/metrics",
        "/%6detrics",
    ],
)
def test_no_spelling_of_a_path_reaches_another(proxy: Proxy, target: str) -> None:
    address = httpx2.URL(proxy.ask_url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as client:
        client.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {proxy.key('ask_key')}\r\n\r\n".encode()
        )
        answer = b""
        while some := client.recv(65536):
            answer += some

    assert answer.split(b" ")[1] in {b"400", b"404"}
    assert b"vllm:" not in answer


def test_no_header_of_a_caller_reaches_the_server(served: Served, tmp_path: Path) -> None:
    if nginx() is None:
        pytest.skip("nginx is absent: apt-get install nginx-light")
    server = served(WHOLE)
    with running_proxy(tmp_path / "p", vllm_url=server.url, vllm_key="inner-3f9a") as proxy:
        httpx2.post(
            f"{proxy.ask_url}/v1/chat/completions?model=other",
            headers={
                "Authorization": f"Bearer {proxy.key('ask_key')}",
                "X-Request-Id": "victim-1",
                "X-Amzn-SageMaker-Adapter-Identifier": "../t1",
                "X-Forwarded-For": "10.9.9.9",
                "Cookie": "a=b",
            },
            json={"messages": []},
        )

    head = server.requests[0].partition(b"\r\n\r\n")[0].decode()
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert set(lines) == {"host", "content-type", "content-length", "authorization", "x-request-id"}
    assert lines["authorization"] == "bearer inner-3f9a"
    assert re.fullmatch(r"[0-9a-f]{32}", lines["x-request-id"])


def test_words_come_through_the_proxy_as_they_are_written(through: VllmServer) -> None:
    async def timed() -> list[float]:
        came = []
        async with generating(order(max_tokens=400), deadline_s=60) as generation:
            async for _ in generation:
                came.append(time.monotonic())
        assert generation.usage.exact
        return came

    came = run(timed())

    assert len(came) > 10
    assert came[-1] - came[0] > 10 * max(0.01, (came[1] - came[0]) / 10)


def test_who_leaves_frees_the_server_through_the_proxy(through: VllmServer) -> None:
    async def cancelled() -> float:
        task = asyncio.create_task(whole(order(max_tokens=ENDLESS), deadline_s=120))
        await asyncio.to_thread(through.wait_for_running, 1, limit_s=60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(through.wait_for_running, 0, limit_s=10)

    # The best of three: what else this machine does is not measured.
    assert min(run(cancelled()) for _ in range(3)) <= 0.5


def test_the_operator_works_through_the_proxy(
    through: VllmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "FRESH_S", -1)

    said = io.StringIO()
    call_command("empty_model_caches", stdout=said)
    assert said.getvalue() == "Replica 1: emptied.\n"
    assert isinstance(loaded_adapters(), set)
    with pytest.raises(AdapterNotLoaded):
        load_adapter(name="nobodys", path="/nonexistent")
    assert [replica.answer for replica in probed_replicas()] == ["serves"]


def test_nothing_of_a_prompt_is_logged_or_written_to_disk(
    through: VllmServer, proxy: Proxy
) -> None:
    long = [{"role": "user", "content": f"{SECRET_WORD} " * 100_000}]
    headers = {"Authorization": f"Bearer {proxy.key('ask_key')}"}
    url = f"{proxy.ask_url}/v1/chat/completions"
    with httpx2.Client(headers=headers, timeout=60) as client:
        refused = client.post(url, json={"model": through.model, "messages": long})
        too_large = client.post(url, json={"messages": long * 3})

    assert (refused.status_code, too_large.status_code) == (400, 413)
    for path in [path for path in proxy.folder.rglob("*") if path.is_file()]:
        assert SECRET_WORD not in path.read_text(errors="replace"), path
    assert [path for path in (proxy.folder / "tmp").rglob("*") if path.is_file()] == [
        proxy.folder / "tmp" / "nginx.pid"
    ]


def test_a_server_that_is_down_behind_the_proxy_is_unreachable(
    settings: Settings, served: Served, tmp_path: Path
) -> None:
    if nginx() is None:
        pytest.skip("nginx is absent: apt-get install nginx-light")
    with running_proxy(
        tmp_path / "p", vllm_url=f"http://127.0.0.1:{free_port()}", vllm_key="k"
    ) as proxy:
        settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_KEY = proxy.ask_url, proxy.key("ask_key")
        settings.AMBIT_VLLM_MODEL = "m"
        with pytest.raises(GenerationUnavailable) as down:
            run(whole(order()))
        settings.AMBIT_VLLM_KEY = "wrong"
        with pytest.raises(GenerationRefused) as refused:
            run(whole(order()))

    assert (down.value.reason, down.value.status) == ("unreachable", 502)
    assert (refused.value.reason, refused.value.status) == ("credentials", 401)
