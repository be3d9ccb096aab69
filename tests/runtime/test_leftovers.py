"""What a killed supervisor may leave: processes of the directory, and a stale postmaster.pid."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg

from ambit.config.embedded import Embedded
from ambit.config.runtime import postgres
from ambit.config.runtime.account import Account, postgres_account
from ambit.config.runtime.leftovers import stop_leftovers
from ambit.config.runtime.processes import MARK, Process
from ambit.config.runtime.redis import redis_part
from ambit.config.runtime.supervisor import Stack
from tests.runtime.serving import clean_env


@contextmanager
def sleeper(mark: str, account: Account | None = None) -> Iterator[subprocess.Popen[bytes]]:
    env = {**clean_env(), MARK: mark}
    uid = account.uid if account else None
    with subprocess.Popen(["/bin/sleep", "60"], env=env, cwd="/", user=uid) as process:
        try:
            yield process
        finally:
            process.kill()


def test_only_processes_of_this_data_directory_are_stopped(embedded: Embedded) -> None:
    with sleeper(str(embedded.data_dir)) as ours, sleeper("/another/directory") as foreign:
        stopped = stop_leftovers(embedded)

        assert stopped == [ours.pid]
        assert foreign.poll() is None


def test_a_redis_that_was_left_running_is_stopped(embedded: Embedded) -> None:
    left = Process(redis_part(embedded), mark="left")
    while not left.is_ready():
        assert left.exit_code is None

    assert stop_leftovers(embedded) == [left.pid]
    assert left.exit_code is not None


def test_a_postgres_that_was_left_running_is_shut_down_cleanly(embedded: Embedded) -> None:
    account = postgres.prepare_directories(embedded)
    left = Process(postgres.postgres_part(embedded, account), mark="left")
    while not left.is_ready():
        assert left.exit_code is None
    with psycopg.connect(embedded.database_url("ambit_owner")):
        stopped = stop_leftovers(embedded)

    assert left.pid in stopped
    assert left.exit_code == 0
    assert not (embedded.postgres_dir / "postmaster.pid").exists()


def test_a_stale_postmaster_pid_that_names_an_unrelated_process_is_no_obstacle(
    embedded: Embedded,
) -> None:
    # Postgres takes only a process of its own account for a running postmaster.
    with sleeper("/another/directory", postgres_account(embedded.postgres_dir)) as unrelated:
        stale = embedded.postgres_dir / "postmaster.pid"
        stale.write_text(f"{unrelated.pid}\n{embedded.postgres_dir}\n1\n5432\n\n\n\nready\n")

        with Stack(embedded, port=1, parts={"postgres"}) as stack:
            assert psutil.pid_exists(stack.pid("postgres"))

        assert unrelated.poll() is None


def test_server_processes_without_a_postmaster_are_gone_before_the_next_start(
    embedded: Embedded, stack: Stack
) -> None:
    with psycopg.connect(embedded.database_url("ambit_owner")) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        before = stack.pid("postgres")

        os.kill(before, signal.SIGKILL)
        stack.wait_until_ready("postgres", after_pid=before)

        assert not psutil.pid_exists(backend)
