"""Nothing is served when the database does not keep tenants apart: each fault is planted and named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ambit.config.canary import plant_canary
from ambit.config.isolation import IsolationBroken, require_isolation
from ambit.config.runtime.processes import ROOT
from ambit.corpus.canary import CANARY_TENANT
from tenants import rls
from tests.database.private import PrivateDatabase
from tests.isolation.filled import tenant_tables

TABLES = ["tenants_tenant", *tenant_tables()]
# What is done to a table, by the words in which the test names it.
FAULTS = {
    "its policy is dropped": "DROP POLICY app ON {table}",
    "its security is not forced": "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "its security is disabled": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "everybody gets a policy": "CREATE POLICY planted ON {table} USING (true)",
    "the application gets a wider policy": (
        "CREATE POLICY planted ON {table} FOR SELECT TO ambit_app USING (true)"
    ),
    "its policy is widened": "ALTER POLICY app ON {table} USING ({using} OR true)",
    "its policy lets anything be written": "ALTER POLICY app ON {table} WITH CHECK (true)",
    "it is given to the application": "ALTER TABLE {table} OWNER TO ambit_app",
}
# A predicate of ours at a table that must have a narrower one.
WEAKENED = [
    ("corpus_chunk", rls.TENANT),
    ("corpus_chunk", rls.DOCUMENT_PART),
    ("corpus_chunkvector", rls.DOCUMENT_PART),
    ("corpus_chunklexemes", rls.DOCUMENT_PART),
    ("corpus_document", rls.TENANT),
    ("corpus_document", rls.DOCUMENT_PART),
    ("corpus_documentkey", rls.DOCUMENT_PART),
    ("answers_conversation", rls.TENANT),
    ("answers_exchange", rls.TENANT),
    ("answers_exchangepassage", rls.TENANT),
]


@pytest.fixture(scope="module", autouse=True)
def _private_in_use(private: PrivateDatabase) -> Iterator[None]:
    with private.in_use():
        yield


@pytest.fixture(scope="module")
def superuser(private: PrivateDatabase) -> Iterator[psycopg.Connection]:
    """Connect to the private database as its superuser."""
    with private.superuser() as connection:
        yield connection


@contextmanager
def _planted(superuser: psycopg.Connection, table: str, fault: str) -> Iterator[None]:
    row = superuser.execute(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
        " WHERE polname = 'app' AND polrelid = %s::regclass",
        [table],
    ).fetchone()
    assert row is not None
    (using,) = row
    superuser.execute(fault.format(table=table, using=using).encode())
    try:
        yield
    finally:
        for repair in (
            "DROP POLICY IF EXISTS planted ON {table}",
            "DROP POLICY IF EXISTS app ON {table}",
            "ALTER TABLE {table} OWNER TO ambit_owner",
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            "GRANT ALL ON {table} TO ambit_owner",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO ambit_app",
            "CREATE POLICY app ON {table} FOR ALL TO ambit_app USING ({using}) WITH CHECK ({using})",
        ):
            superuser.execute(repair.format(table=table, using=using).encode())


def _refusal() -> str:
    with pytest.raises(IsolationBroken) as refused:
        require_isolation()
    return str(refused.value)


def test_a_sound_database_is_served() -> None:
    require_isolation()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("table", TABLES)
def test_a_fault_at_any_table_is_refused_and_named(
    superuser: psycopg.Connection, table: str, fault: str
) -> None:
    with _planted(superuser, table, FAULTS[fault]):
        assert table in _refusal()


@pytest.mark.parametrize(("table", "weaker"), WEAKENED, ids=lambda value: value.split(" ")[0])
def test_a_predicate_that_is_too_weak_for_its_table_is_refused_and_named(
    superuser: psycopg.Connection, table: str, weaker: str
) -> None:
    fault = f"ALTER POLICY app ON {{table}} USING ({weaker}) WITH CHECK ({weaker})"

    with _planted(superuser, table, fault):
        assert table in _refusal()


@pytest.mark.parametrize(
    ("fault", "repair", "named"),
    [
        ("ALTER ROLE ambit_app BYPASSRLS", "ALTER ROLE ambit_app NOBYPASSRLS", "BYPASSRLS"),
        ("ALTER ROLE ambit_app SUPERUSER", "ALTER ROLE ambit_app NOSUPERUSER", "superuser"),
        ("GRANT ambit_owner TO ambit_app", "REVOKE ambit_owner FROM ambit_app", "member of"),
        (
            "CREATE TABLE planted (tenant_id uuid)",
            "DROP TABLE planted",
            "not forced on planted",
        ),
    ],
    ids=["bypassing", "superuser", "membership", "new table"],
)
def test_a_fault_beyond_one_policy_is_refused_and_named(
    superuser: psycopg.Connection,
    fault: str,
    repair: str,
    named: str,
) -> None:
    superuser.execute(fault.encode())
    try:
        assert named in _refusal()
    finally:
        superuser.execute(repair.encode())


def test_a_database_without_its_canary_is_refused(superuser: psycopg.Connection) -> None:
    superuser.execute("DELETE FROM corpus_chunklexemes WHERE tenant_id = %s", [CANARY_TENANT])

    assert "plant_canary" in _refusal()
    plant_canary()
    require_isolation()


def _start(private: PrivateDatabase) -> subprocess.CompletedProcess[str]:
    names = ("AMBIT_", "DATABASE_URL", "REDIS_URL")
    env = {n: v for n, v in os.environ.items() if not n.startswith(names)}
    return subprocess.run(
        [sys.executable, "-c", "import ambit.config.asgi"],
        cwd=ROOT,
        env=env
        | {
            "AMBIT_DATA_DIR": str(private.embedded.data_dir),
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_web_process_does_not_start_without_a_policy(
    private: PrivateDatabase, superuser: psycopg.Connection
) -> None:
    assert _start(private).returncode == 0
    with _planted(superuser, "corpus_chunk", FAULTS["its policy is dropped"]):
        refused = _start(private)

    assert refused.returncode != 0
    assert "corpus_chunk has no policy" in refused.stderr
