"""The embedded Postgres: closed to others, four narrow logins, no content in its log."""

from __future__ import annotations

import os
import stat

import psycopg
import pytest

from ambit.config.embedded import ROLES, Embedded
from ambit.config.runtime import postgres
from ambit.config.runtime.supervisor import Stack


@pytest.mark.parametrize("role", ROLES)
def test_no_login_may_bypass_policies_or_make_roles_or_databases(
    embedded: Embedded, stack: Stack, role: str
) -> None:
    with psycopg.connect(embedded.database_url(role)) as connection:
        may = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, "
            "has_schema_privilege('public', 'CREATE') FROM pg_roles WHERE rolname = current_user"
        ).fetchone()

    assert may == (False, False, False, False, False, role == "ambit_owner")


def test_a_login_that_was_given_too_much_is_put_right_at_the_next_start(
    embedded: Embedded, stack: Stack
) -> None:
    superuser = embedded.database_url("ambit_owner").replace("ambit_owner", "postgres", 1)
    superuser = superuser.replace(
        embedded.secrets["password_ambit_owner"], embedded.secrets["password_postgres"]
    )
    with psycopg.connect(superuser) as connection:
        connection.execute("ALTER ROLE ambit_app BYPASSRLS CREATEROLE")

    postgres.ensure_roles(embedded)

    with psycopg.connect(superuser) as connection:
        found = connection.execute(
            "SELECT rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'ambit_app'"
        ).fetchone()
    assert found == (False, False)


def test_a_wrong_password_is_refused_on_the_unix_socket(embedded: Embedded, stack: Stack) -> None:
    right = embedded.database_url("ambit_app")
    wrong = right.replace(embedded.secrets["password_ambit_app"], "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_nothing_listens_on_tcp_and_every_write_is_durable(
    embedded: Embedded, stack: Stack
) -> None:
    names = ("listen_addresses", "fsync", "full_page_writes", "data_checksums", "jit")
    with psycopg.connect(embedded.database_url("ambit_app")) as connection:
        found = [connection.execute(f"SHOW {name}").fetchone() for name in names]

    assert found == [("",), ("on",), ("on",), ("on",), ("off",)]


def test_what_statements_carry_never_reaches_the_log(embedded: Embedded, stack: Stack) -> None:
    canary = f"canary-{os.urandom(8).hex()}"
    with psycopg.connect(embedded.database_url("ambit_owner"), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE once (word text PRIMARY KEY)")
        connection.execute("INSERT INTO once VALUES (%s)", (canary,))
        for failing in ("INSERT INTO once VALUES (%s)", "SELECT %s::text::int"):
            with pytest.raises(psycopg.Error, match=canary):
                connection.execute(failing, (canary,))

    stack.stop_part("postgres")

    assert canary not in (embedded.log_dir / "postgres.log").read_text()


def test_quotation_marks_are_no_part_of_a_word(embedded: Embedded, stack: Stack) -> None:
    with psycopg.connect(embedded.database_url("ambit_app")) as connection:
        found = connection.execute("SELECT to_tsvector('simple', '“Café” — no')::text").fetchone()

    assert found == ("'café':1 'no':2",)


def test_other_accounts_can_read_nothing_of_the_data_directory(embedded: Embedded) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) & 0o007
        for path in [embedded.data_dir, *embedded.data_dir.iterdir()]
    }

    assert set(modes.values()) == {0}
