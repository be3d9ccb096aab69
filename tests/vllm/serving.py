"""What tests of the client share: servers by script in the settings, and an order to ask them for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pytest_django.fixtures import Settings

from ambit.inference.vllm import Completion, Generation, Order, chat, generating
from tests.vllm.scripted import ScriptedServer, Step

Value = TypeVar("Value")
SALT = "ab" * 32


class Served:
    """Servers that a test starts, all of them in the settings, in that order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._settings.AMBIT_VLLM_URL = ""
        self._settings.AMBIT_VLLM_MODEL = "m"
        self._settings.AMBIT_VLLM_KEY = self._settings.AMBIT_VLLM_ADMIN_KEY = "k-5d1c"
        self._servers: list[ScriptedServer] = []

    def __call__(self, *scripts: tuple[Step, ...]) -> ScriptedServer:
        server = ScriptedServer(*scripts)
        self._servers.append(server)
        self.names(*self._servers)
        return server

    def names(self, *servers: ScriptedServer) -> None:
        """Have the settings name these servers, for answers and for the operator."""
        self._settings.AMBIT_VLLM_URL = ",".join(server.url for server in servers)
        self._settings.AMBIT_VLLM_ADMIN_URL = self._settings.AMBIT_VLLM_URL

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


def run(coroutine: Coroutine[Any, Any, Value]) -> Value:
    return asyncio.run(coroutine)


def order(**fields: Any) -> Order:
    fields = {"cache_salt": SALT, **fields}
    return Order(messages=[{"role": "user", "content": "Days?"}], **fields)


async def whole(asked: Order, *, deadline_s: float = 10) -> tuple[str, Generation]:
    async with generating(asked, deadline_s=deadline_s) as generation:
        return "".join([piece async for piece in generation]), generation


def answered(salt: str = SALT) -> Completion:
    return run(chat(messages=[], cache_salt=salt, deadline_s=10))
