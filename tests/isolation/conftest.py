"""Mallory tries every table and every route, on real Postgres with committed rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.database.conftest import _database, private, superuser
from tests.vllm.scripted import WHOLE, ScriptedServer

__all__ = ["_database", "model", "private", "superuser"]


@pytest.fixture
def model(settings: Settings) -> Iterator[ScriptedServer]:
    """Have a model server: without one no adapter is even looked up."""
    server = ScriptedServer(WHOLE)
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"
    yield server
    server.stop()
