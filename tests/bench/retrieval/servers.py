"""The Postgres servers of a run: Ambit's as it is embedded, and the peer's as its documentation asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from ambit.config.embedded import DATABASE, Embedded
from ambit.config.runtime.supervisor import Stack

MB = 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A running Postgres, or for a store within its clients nothing."""

    url: str = ""
    pid: int = 0
    env: dict[str, str] = field(default_factory=dict)

    def memory(self) -> float:
        """Return the server's memory in MB, shared pages counted once."""
        return memory_below(self.pid) if self.pid else 0.0


def memory_below(pid: int) -> float:
    """Return the proportional memory of a process and of those below it in MB; 0 when it is gone."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / MB


@contextmanager
def postgres(folder: Path, *, ours: bool) -> Iterator[Server]:
    """Run the embedded Postgres in a folder; a peer's gets a quarter of the machine as buffers."""
    embedded = Embedded(folder / "data")
    stack = Stack(embedded, port=1, parts={"postgres"})
    with stack:
        password = embedded.secrets["password_postgres"]
        url = f"postgresql://postgres:{password}@/{DATABASE}?host={quote(str(embedded.socket_dir))}"
        if not ours:
            quarter = psutil.virtual_memory().total // 4 // MB
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET shared_buffers = '{quarter}MB'".encode())
            stack.restart_part("postgres")
        yield Server(url, stack.pid("postgres"), _environment(embedded) if ours else {})


def _environment(embedded: Embedded) -> dict[str, str]:
    return {
        "AMBIT_DATA_DIR": str(embedded.data_dir),
        "AMBIT_LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
    }


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would lead Ambit elsewhere."""
    foreign = ("AMBIT_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    return {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
