"""The stack of one machine: start its parts in order, watch them, start crashed ones again, stop them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ambit.config.embedded import Embedded
from ambit.config.runtime import postgres
from ambit.config.runtime.leftovers import stop_leftovers
from ambit.config.runtime.lock import DataDirLock
from ambit.config.runtime.network import refuse_used_port
from ambit.config.runtime.parts import beat_part, embed_part, web_part, worker_part
from ambit.config.runtime.processes import ROOT, Part, Process
from ambit.config.runtime.redis import redis_part
from ambit.config.runtime.slots import Slot

# In the order in which they stop, reversed; embed has the longest way to go, so it starts first of all.
ALL_PARTS = ("postgres", "redis", "embed", "worker", "beat", "web")
TICK_S = 0.1


class StackFailed(RuntimeError):
    """A part or a step failed so that the stack cannot go on; the text names it and its log."""


class StartInterrupted(RuntimeError):
    """Stopping was asked for while the stack was starting."""


class Stack:
    """All parts that run on one data directory; start() and stop() once each."""

    def __init__(
        self,
        embedded: Embedded,
        *,
        port: int,
        host: str = "127.0.0.1",
        env: Mapping[str, str] | None = None,
        parts: frozenset[str] | set[str] = frozenset(ALL_PARTS),
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Describe the stack; nothing is started. env is added to the Python parts' environment."""
        unknown = set(parts) - set(ALL_PARTS)
        if unknown:
            raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
        self.embedded = embedded
        self.url = f"http://{host}:{port}"
        self.first_password: str | None = None
        self.failure: StackFailed | None = None
        self._host, self._port, self._say = host, port, say
        self._parts = frozenset(parts)
        self._env = {
            **os.environ,
            "AMBIT_DATA_DIR": str(embedded.data_dir),
            "AMBIT_PORT": str(port),
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._lock_file = DataDirLock(embedded.data_dir)
        self._slots: dict[str, Slot] = {}
        self._guard = threading.RLock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        # The kernel ties a part's death signal to the thread that started it, so one lasting thread starts all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
