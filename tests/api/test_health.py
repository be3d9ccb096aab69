"""Probes."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.api import health
from ambit.config.runtime.supervisor import Stack
from tests.cast import Api

NOBODY = Api("")


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1)


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
