"""Stop what a killed supervisor left running; call only while holding the data directory's lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil

from ambit.config.embedded import Embedded
from ambit.config.runtime.processes import MARK


def stop_leftovers(embedded: Embedded) -> list[int]:
    """Stop every process that still serves the data directory, Postgres last; return their ids."""
    mark, redis_dir = str(embedded.data_dir), str(embedded.redis_dir)
    # Redis and Postgres overwrite their environment with a title; each works in its own directory.
    parts = _find(
        lambda process: (
            process.environ().get(MARK) == mark
            or (process.name() == "redis-server" and process.cwd() == redis_dir)
        )
    )
    _end(parts, signal.SIGTERM, within_s=3)
    return sorted({process.pid for process in parts} | set(stop_database(embedded)))


def stop_database(embedded: Embedded) -> list[int]:
    """Stop the directory's Postgres processes, cleanly if a postmaster lives; return their ids."""
    found = _database_processes(embedded)
    if found:
        # A postmaster shuts down cleanly on SIGINT; server processes without one end by themselves.
        _end([p for p in found if p.pid == _postmaster_pid(embedded)], signal.SIGINT, within_s=30)
        _end(_database_processes(embedded), signal.SIGQUIT, within_s=5)
    elif psutil.pid_exists(_postmaster_pid(embedded)):
        # After a restart of a container the id may be an unrelated process's, and Postgres
        # would refuse to start.
        (embedded.postgres_dir / "postmaster.pid").unlink(missing_ok=True)
    return [process.pid for process in found]


def _database_processes(embedded: Embedded) -> list[psutil.Process]:
    directory = str(embedded.postgres_dir)
    return _find(lambda process: process.name() == "postgres" and process.cwd() == directory)


def _find(wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    ourselves = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in ourselves and wanted(process):
                found.append(process)
    return found


def _end(processes: list[psutil.Process], number: signal.Signals, *, within_s: float) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _postmaster_pid(embedded: Embedded) -> int:
    try:
        return int((embedded.postgres_dir / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
