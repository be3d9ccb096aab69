"""The stack of one machine: start its parts in order, watch them, restart them, stop them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ambit.config.embedded import Embedded
from ambit.config.runtime import postgres
from ambit.config.runtime.account import Account
from ambit.config.runtime.leftovers import stop_leftovers
from ambit.config.runtime.lock import DataDirLock
from ambit.config.runtime.network import refuse_used_port, remove_sockets
from ambit.config.runtime.parts import audit_part, beat_part, embed_part, web_part, worker_part
from ambit.config.runtime.processes import ROOT, Part, Process
from ambit.config.runtime.redis import redis_part
from ambit.config.runtime.slots import Slot, StackFailed, ending

# They stop in the reverse of this order.
ALL_PARTS = ("postgres", "redis", "embed", "worker", "beat", "audit", "web")
TICK_S = 0.1


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
        idle: frozenset[str] | set[str] = frozenset(),
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Describe the stack; nothing is started. env is added to the Python parts' environment.

        idle: those of the parts that start() leaves to restart_part().
        """
        unknown = set(parts) - set(ALL_PARTS)
        if unknown:
            raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
        self.embedded = embedded
        self.url = f"http://{host}:{port}"
        self.first_password: str | None = None
        self.failure: StackFailed | None = None
        self._host, self._port, self._say = host, port, say
        self._parts, self._idle = frozenset(parts), frozenset(idle)
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
        # Counted, not an Event: a signal handler must not wait for a lock of its own thread.
        self._asked_to_stop = 0
        self._watcher: threading.Thread | None = None
        # The kernel ties a death signal to the thread that forked: one lasting thread starts all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def __enter__(self) -> Stack:
        """Start the stack and watch it in the background."""
        self.start()
        self.watch_in_background()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the stack."""
        self.stop()

    def start(self) -> None:
        """Start every part and wait until all are ready; on failure stop what was started.

        Raises DataDirBusy, PortTaken, AccountMissing, PostgresUnusable, StackFailed and
        StartInterrupted.
        """
        self._lock_file.acquire(address=self.url)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if "web" in self._parts:
            refuse_used_port(self._host, self._port)
        stopped = stop_leftovers(self.embedded)
        if stopped:
            self._say(f"stopped {len(stopped)} processes that an earlier run had left behind")
        account = postgres.prepare_directories(self.embedded)
        makers = self._makers(account)
        self._slots = {
            name: Slot(make=makers[name], spawn=self._spawn, say=self._say)
            for name in ALL_PARTS
            if name in self._parts
        }
        # The embedding service has the longest way to go: it loads while the database is made.
        self._launch("postgres", "redis", "embed")
        self._await("postgres", "redis")
        if "postgres" in self._parts:
            postgres.ensure_roles(self.embedded)
        if self._parts & {"web", "worker", "beat", "audit"}:
            self.first_password = self._step("prepare").strip() or None
        self._launch("worker", "beat", "audit", "web")
        self._await(*self._slots.keys() - self._idle)

    def _makers(self, account: Account | None) -> dict[str, Callable[[], Part]]:
        embedded, env = self.embedded, self._env
        return {
            "postgres": lambda: postgres.postgres_part(embedded, account),
            "redis": lambda: redis_part(embedded),
            "embed": lambda: embed_part(embedded, env=env),
            "worker": lambda: worker_part(embedded, env=env),
            "beat": lambda: beat_part(embedded, env=env),
            "audit": lambda: audit_part(embedded, env=env),
            "web": lambda: web_part(embedded, env=env, host=self._host, port=self._port),
        }

    def watch(self) -> None:
        """Start crashed parts again until stop() or interrupt(), or raise StackFailed."""
        while not self._asked_to_stop:
            time.sleep(TICK_S)
            with self._guard:
                for slot in self._slots.values():
                    slot.tick()

    def watch_in_background(self) -> None:
        """Watch in a thread; what watch() raises is kept in `failure`."""
        self._watcher = threading.Thread(target=self._watch_quietly, name="watcher", daemon=True)
        self._watcher.start()

    def _watch_quietly(self) -> None:
        try:
            self.watch()
        except StackFailed as failure:
            self.failure = failure
            self._say(str(failure))

    def interrupt(self) -> None:
        """End start() or watch() soon; asked twice, stopping hurries. Safe in a signal handler."""
        self._asked_to_stop += 1

    def _hurry(self) -> bool:
        return self._asked_to_stop > 1

    def stop(self) -> None:
        """Stop every part in reverse order, free the lock; called again it does nothing."""
        self._asked_to_stop = max(self._asked_to_stop, 1)
        if self._watcher is not None:
            self._watcher.join()
        with self._guard:
            for name in reversed(self._slots):
                self._slots[name].stop(self._hurry)
            self._slots = {}
        self._spawner.shutdown()
        if self._lock_file.held:
            remove_sockets(self.embedded)
            self._lock_file.release()

    def pid(self, name: str) -> int:
        """Return the process id of a running part; raises LookupError while it is not running."""
        with self._guard:
            process = self._slots[name].process
            if process is None or process.exit_code is not None:
                raise LookupError(f"{name} is not running")
            return process.pid

    def runs(self, name: str) -> bool:
        """Say whether a part was started, and not stopped."""
        with self._guard:
            return self._slots[name].wanted

    def restart_part(self, name: str) -> None:
        """Stop one part cleanly, start it again, and wait until it is ready."""
        with self._guard:
            self._slots[name].stop(self._hurry)
            self._slots[name].start()
        self.wait_until_ready(name)

    def stop_part(self, name: str) -> None:
        """Stop one part until restart_part(); for tests of what happens without it."""
        with self._guard:
            self._slots[name].stop(self._hurry)

    def wait_until_ready(self, name: str, *, after_pid: int = 0, within_s: float = 120) -> None:
        """Wait until the part is ready, not in process after_pid, or raise TimeoutError."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.failure is not None:
                raise self.failure
            with self._guard:
                slot = self._slots[name]
                slot.tick()
                if slot.ready and slot.process is not None and slot.process.pid != after_pid:
                    return
            time.sleep(TICK_S)
        raise TimeoutError(f"{name} was not ready within {within_s:.0f} s")

    def _spawn(self, part: Part, *, capture: bool = False) -> Process:
        mark = str(self.embedded.data_dir)
        return self._spawner.submit(Process, part, mark=mark, capture=capture).result()

    def _launch(self, *names: str) -> None:
        for name in names:
            if name in self._slots and name not in self._idle:
                self._slots[name].start()

    def _await(self, *names: str) -> None:
        waiting = {name for name in names if name in self._slots}
        while waiting:
            self._heed_interrupt()
            for slot in self._slots.values():
                slot.tick()
            waiting = {name for name in waiting if not self._slots[name].ready}
            time.sleep(TICK_S / 2)

    def _step(self, name: str) -> str:
        """Run one of Django's commands to its end and return what it printed."""
        log = self.embedded.log_dir / f"{name}.log"
        step = Part(
            name=name,
            command=(sys.executable, str(ROOT / "manage.py"), name),
            log=log,
            ready=lambda _pid: True,
            ready_within_s=0,
            stop_within_s=10,
            env=self._env,
        )
        process = self._spawn(step, capture=True)
        try:
            while process.exit_code is None:
                self._heed_interrupt()
                time.sleep(TICK_S / 2)
        finally:
            if process.exit_code is None:
                process.stop(hurry=self._hurry)
        if process.exit_code != 0:
            raise StackFailed(
                f"{name} failed with {ending(process.exit_code)}; log: {log}{_last_words(log)}"
            )
        self._say(f"{name} … done in {time.monotonic() - process.started_at:.1f} s")
        return process.output()

    def _heed_interrupt(self) -> None:
        if self._asked_to_stop:
            raise StartInterrupted("stopped while starting")


def _last_words(log: Path) -> str:
    """Return how a step's log ends: the sentence that says why; never content, which no log has."""
    lines = log.read_text(errors="replace").rstrip().splitlines()
    return f"\n{lines[-1]}" if lines else ""
