"""Probes."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.admin.health import answers_part
from ambit.api import health
from ambit.config.runtime.supervisor import Stack
from ambit.inference import probes
from ambit.inference.probes import ProbedReplica
from tests.cast import Api
from tests.vllm.scripted import ScriptedServer, json_answer, refusal

NOBODY = Api("")


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1)
    monkeypatch.setattr(probes, "FRESH_S", -1)


def test_alive_asks_nothing_else(database: Stack, settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    for path in ("/livez", "/v1/livez"):
        assert NOBODY.get(path).json() == {"status": "live"}


def test_ready_names_every_part(embeddings: Stack) -> None:
    response = NOBODY.get("/readyz")

    assert response.status_code == 200, response.content
    assert response.json()["parts"] == dict.fromkeys(
        ["postgres", "redis", "embeddings", "isolation", "tombstones", "keyring"], "ready"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_not_ready_says_which_part(embeddings: Stack, settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    without_redis = NOBODY.get("/readyz")
    settings.AMBIT_EMBED_URL = f"unix://{tmp_path}/nobody.sock"
    without_both = NOBODY.get("/readyz")

    assert (without_redis.status_code, without_redis.json()["parts"]["redis"]) == (200, "not_ready")
    assert (without_both.status_code, without_both.json()["status"]) == (503, "not_ready")
    assert without_both.json()["parts"]["embeddings"] == "not_ready"


def test_broken_isolation_is_not_ready(embeddings: Stack) -> None:
    assert not health._is_faultless(lambda: ["rows are seen without any tenant"])
    assert not health._is_faultless(None)


def test_metrics_name_no_tenant(database: Stack) -> None:
    response = NOBODY.get("/metrics")

    assert response.status_code == 200
    assert "ambit_build_info" in response.content.decode()
    assert "tenant" not in response.content.decode()


def test_a_model_server_that_is_down_delays_and_refuses_nothing(
    embeddings: Stack, settings: Any
) -> None:
    serving = ScriptedServer((json_answer({"data": [{"id": "m"}]}),))
    down = ScriptedServer((refusal(502),))
    settings.AMBIT_VLLM_MODEL = "m"

    settings.AMBIT_VLLM_URL = f"{down.url},{serving.url}"
    one_up, figures = NOBODY.get("/readyz"), NOBODY.get("/metrics").content.decode()
    settings.AMBIT_VLLM_URL = down.url
    none_up = NOBODY.get("/readyz")
    serving.stop()
    down.stop()

    assert (one_up.status_code, one_up.json()["parts"]["generation"]) == (200, "ready")
    assert (none_up.status_code, none_up.json()["status"]) == (200, "ready")
    assert none_up.json()["parts"]["generation"] == "not_ready"
    assert 'ambit_generation_replica_up{replica="1"} 0' in figures
    assert 'ambit_generation_replica_up{replica="2"} 1' in figures
    assert 'ambit_generation_replica_circuit_open{replica="1"} 0' in figures
    assert "127.0.0.1" not in figures


def test_the_home_page_says_which_replica_is_at_fault_and_why() -> None:
    found = [
        ProbedReplica("1", "serves", "closed"),
        ProbedReplica("2", "serves", "open"),
        ProbedReplica("3", "silent", "closed"),
        ProbedReplica("4", "refuses_key", "closed"),
        ProbedReplica("5", "other_model", "closed"),
    ]

    part, fine = answers_part(found, model="base"), answers_part(found[:1], model="base")

    assert (fine.ok, fine.words) == (True, "written by base, 1 of 1 replicas ready")
    assert not part.ok
    assert part.words == (
        "written by base, 1 of 5 replicas ready; replica 3 does not answer; replica 4 refuses"
        " AMBIT_VLLM_KEY; replica 5 does not serve AMBIT_VLLM_MODEL; replica 2 failed and rests a"
        " while"
    )
