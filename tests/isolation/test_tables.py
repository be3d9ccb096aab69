"""Every table with a tenant_id, under every wrong context, by a bare connection with no code of ours between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ambit.config.settings import EMBEDDED
from tests.isolation.filled import Filled, fill_tenant, rows_seen_by_their_owner, tenant_tables

TABLES = tenant_tables()
PASSAGES = ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes")
RECORDS = (
    "corpus_document",
    "corpus_documentkey",
    "corpus_version",
    "corpus_subject",
    "corpus_mention",
)
SAVED_ANSWERS = (
    "answers_conversation",
    "answers_exchange",
    "answers_exchangepassage",
    "metering_use",
    "metering_useday",
)
# Only the sequencer adds to these, and nobody changes them.
PROOFS = ("audit_log", "audit_leaf", "audit_subtree", "audit_checkpoint")
REACHED_BY = {
    "ambit_dispatch": {
        "jobs_job": {"SELECT"},
        "erasure_tombstone": {"SELECT", "INSERT"},
        "metering_use": {"SELECT"},
    },
    "ambit_operator": {
        "tenants_tenant": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "tenants_account": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "tenants_operatorkey": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "ambit_admin_signinguess": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "tenants_apikey": {"INSERT"},
        "tenants_auditevent": {"INSERT"},
        "metering_usemonth": {"SELECT"},
    },
    "ambit_sequencer": {
        "tenants_auditevent": {"SELECT", "UPDATE"},
        "audit_log": {"SELECT", "INSERT", "UPDATE"},
        "audit_leaf": {"SELECT", "INSERT"},
        "audit_subtree": {"SELECT", "INSERT"},
        "audit_checkpoint": {"SELECT", "INSERT"},
        "audit_watermark": {"SELECT", "UPDATE"},
        "audit_copying": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "tenants_tenant": {"SELECT"},
    },
}

Settings = dict[str, str]
# What a statement may carry into another tenant: nothing but zero rows or an error comes back.
CONTEXTS: dict[str, Callable[[Filled, Filled], Settings]] = {
    "no context": lambda alices, mallorys: {},
    "empty context": lambda alices, mallorys: dict.fromkeys(_everything(alices), ""),
    "another tenant's context with everything else right": lambda alices, mallorys: (
        _everything(alices) | {"tenant_id": str(mallorys.tenant_id)}
    ),
    "no tenant and everything else right": lambda alices, mallorys: (
        _everything(alices) | {"tenant_id": ""}
    ),
    "a tenant that does not exist": lambda alices, mallorys: (
        _everything(alices) | {"tenant_id": str(uuid4())}
    ),
    "a malformed tenant": lambda alices, mallorys: _everything(alices) | {"tenant_id": "%"},
    "a tenant with SQL in it": lambda alices, mallorys: (
        _everything(alices) | {"tenant_id": f"{alices.tenant_id}' OR 'a' = 'a"}
    ),
}
MALFORMED = ("a malformed tenant", "a tenant with SQL in it")


def _everything(filled: Filled) -> Settings:
    """Return the context that sees all of a tenant's rows."""
    return {
        "tenant_id": str(filled.tenant_id),
        "member_id": str(filled.alice),
        "audience_ids": "{" + ",".join(str(a) for a in filled.audience_ids) + "}",
        "custody": "on",
    }


@pytest.fixture(scope="module")
def alices(_database: None) -> Filled:
    """Return the tenant that is attacked."""
    return fill_tenant()


@pytest.fixture(scope="module")
def mallorys(_database: None) -> Filled:
    """Return the tenant of the attacker, who holds rows of every kind too."""
    return fill_tenant()


@pytest.fixture(scope="module")
def bare() -> Iterator[psycopg.Connection]:
    """Connect as the application's login and nothing more."""
    with psycopg.connect(EMBEDDED.database_url("ambit_app")) as connection:
        yield connection


@contextmanager
def _context(bare: psycopg.Connection, settings: Settings) -> Iterator[None]:
    with bare.transaction(force_rollback=True):
        bare.execute(
            "SELECT set_config('ambit.' || key, value, true) FROM jsonb_each_text(%s::jsonb)",
            [json.dumps(settings)],
        )
        yield


def _table(statement: str, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table))


def _count(bare: psycopg.Connection, statement: str, table: str, *values: Any) -> int:
    found = bare.execute(_table(statement, table), values).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("table", TABLES)
def test_there_is_something_to_steal_in_every_table(alices: Filled, table: str) -> None:
    assert rows_seen_by_their_owner(alices, table) > 0, (
        f"{table} has no row in tests/isolation/filled.py: add one, or it is not tested"
    )


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_of_another_tenant_is_read(
    bare: psycopg.Connection, alices: Filled, mallorys: Filled, table: str, context: str
) -> None:
    with _context(bare, CONTEXTS[context](alices, mallorys)):
        if context in MALFORMED:
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                _count(bare, "SELECT count(*) FROM {}", table)
            return
        of_alices = _count(
            bare, "SELECT count(*) FROM {} WHERE tenant_id = %s", table, alices.tenant_id
        )
        of_others = _count(
            bare,
            "SELECT count(*) FROM {} WHERE tenant_id IS DISTINCT FROM %s",
            table,
            mallorys.tenant_id,
        )

    assert (of_alices, of_others) == (0, 0)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_of_another_tenant_is_changed_or_removed(
    bare: psycopg.Connection, alices: Filled, mallorys: Filled, table: str, context: str
) -> None:
    for statement in (
        "UPDATE {} SET tenant_id = tenant_id WHERE tenant_id = %s",
        "DELETE FROM {} WHERE tenant_id = %s",
    ):
        with _context(bare, CONTEXTS[context](alices, mallorys)):
            try:
                touched = bare.execute(_table(statement, table), [alices.tenant_id]).rowcount
            except (
                psycopg.errors.InsufficientPrivilege,
                psycopg.errors.InvalidTextRepresentation,
            ):
                touched = 0

        assert touched == 0, statement


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_can_be_planted_in_another_tenant(
    bare: psycopg.Connection,
    superuser: psycopg.Connection,
    alices: Filled,
    mallorys: Filled,
    table: str,
    context: str,
) -> None:
    row = _copy_of_a_row(superuser, table, alices.tenant_id)

    with (
        _context(bare, CONTEXTS[context](alices, mallorys)),
        pytest.raises(
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidTextRepresentation)
        ),
    ):
        bare.execute(_table(_INSERT, table), [json.dumps(row)])


@pytest.mark.parametrize("table", TABLES)
def test_a_row_of_ones_own_cannot_be_given_to_another_tenant(
    bare: psycopg.Connection, alices: Filled, mallorys: Filled, table: str
) -> None:
    with _context(bare, _everything(mallorys)), pytest.raises(psycopg.errors.InsufficientPrivilege):
        bare.execute(_table("UPDATE {} SET tenant_id = %s", table), [alices.tenant_id])


_INSERT = "INSERT INTO {0} SELECT (jsonb_populate_record(NULL::{0}, %s::jsonb)).*"


def _copy_of_a_row(superuser: psycopg.Connection, table: str, tenant_id: UUID) -> dict[str, Any]:
    statement = _table("SELECT to_jsonb(t) FROM {} t WHERE tenant_id = %s LIMIT 1", table)
    found = superuser.execute(statement, [tenant_id]).fetchone()
    assert found is not None
    row: dict[str, Any] = found[0]
    return row | {"id": str(uuid4())}


@pytest.mark.parametrize("table", [table for table in TABLES if table not in PROOFS])
def test_the_same_row_can_be_written_in_its_own_tenant(
    bare: psycopg.Connection, superuser: psycopg.Connection, alices: Filled, table: str
) -> None:
    # So that the refusals above are the policy's and not a mistake of the copy.
    row = _copy_of_a_row(superuser, table, alices.tenant_id)

    with (
        _context(bare, _everything(alices)),
        pytest.raises((psycopg.errors.IntegrityError, RuntimeError)),
    ):
        bare.execute(_table(_INSERT, table), [json.dumps(row)])
        raise RuntimeError("written")


@pytest.mark.parametrize("table", [*PASSAGES, *RECORDS])
def test_the_right_tenant_without_a_clearance_reads_no_document(
    bare: psycopg.Connection, alices: Filled, table: str
) -> None:
    for audiences in ("", "{}", "{" + str(uuid4()) + "}"):
        with _context(bare, _everything(alices) | {"audience_ids": audiences, "custody": "no"}):
            assert _count(bare, "SELECT count(*) FROM {}", table) == 0


@pytest.mark.parametrize("table", PASSAGES)
def test_custody_opens_no_passage(bare: psycopg.Connection, alices: Filled, table: str) -> None:
    with _context(bare, _everything(alices) | {"audience_ids": "", "custody": "on"}):
        assert _count(bare, "SELECT count(*) FROM {}", table) == 0


@pytest.mark.parametrize("custody", ["", "off", "true", "1", "ON"])
@pytest.mark.parametrize("table", [*RECORDS, *SAVED_ANSWERS])
def test_custody_has_one_spelling(
    bare: psycopg.Connection, alices: Filled, table: str, custody: str
) -> None:
    nobody = {"audience_ids": "", "member_id": "", "custody": custody}

    with _context(bare, _everything(alices) | nobody):
        assert _count(bare, "SELECT count(*) FROM {}", table) == 0


@pytest.mark.parametrize("table", SAVED_ANSWERS)
def test_a_colleague_does_not_read_anothers_saved_answers(
    bare: psycopg.Connection, alices: Filled, table: str
) -> None:
    with _context(bare, _everything(alices) | {"member_id": str(alices.carol), "custody": ""}):
        assert _count(bare, "SELECT count(*) FROM {}", table) == 0


@pytest.mark.parametrize("role", REACHED_BY)
def test_each_other_login_holds_exactly_its_privileges(
    superuser: psycopg.Connection, role: str
) -> None:
    held: dict[str, set[str]] = {}
    for table, privilege in superuser.execute(
        "SELECT table_name::text, privilege_type::text FROM information_schema.role_table_grants"
        " WHERE table_schema = 'public' AND grantee IN (%s, 'PUBLIC')"
        " UNION SELECT table_name::text, privilege_type::text"
        " FROM information_schema.column_privileges"
        " WHERE table_schema = 'public' AND grantee IN (%s, 'PUBLIC')",
        [role, role],
    ):
        held.setdefault(table, set()).add(privilege)

    assert held == REACHED_BY[role]


@pytest.mark.parametrize("role", [*REACHED_BY, "ambit_owner"])
def test_each_other_login_reads_rows_of_exactly_its_tables(
    alices: Filled, mallorys: Filled, role: str
) -> None:
    with psycopg.connect(EMBEDDED.database_url(role), autocommit=True) as login:
        read = {table for table in [*TABLES, "tenants_tenant"] if _reads_any(login, table)}

    allowed = {t for t, privileges in REACHED_BY.get(role, {}).items() if "SELECT" in privileges}
    assert read == allowed & {*TABLES, "tenants_tenant"}


def _reads_any(login: psycopg.Connection, table: str) -> bool:
    try:
        return login.execute(_table("SELECT 1 FROM {} LIMIT 1", table)).rowcount > 0
    except psycopg.errors.InsufficientPrivilege:
        return False
