"""What Postgres itself enforces, read from its catalogue: keys, references, policies, privileges."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from tenants import rls

TENANT_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
# An operator's account has no tenant, so its key and its sign-in name stand alone.
KEYED_WITHOUT_TENANT = {"tenants_account_pkey", "tenants_account_sign_in_key"}
# These leave one index to a search, that by audience: the tenant is the second column.
KEYED_BY_ID_FIRST = {"corpus_chunkvector_pkey", "corpus_chunklexemes_pkey"}
TENANT_MAY_BE_NULL = {"tenants_account"}
# Tables that belong to nobody, and what the application may do with them.
SHARED_TABLES = {
    "erasure_tombstone": {"SELECT"},
    "django_session": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "django_content_type": {"SELECT"},
    "django_migrations": {"SELECT"},
    "audit_copying": {"SELECT"},
}
# Tables that the application's login does not reach, but for its own tenant's row of the first.
OPERATORS_TABLES = {
    "tenants_tenant",
    "tenants_operatorkey",
    "ambit_admin_signinguess",
    "django_admin_log",
    "audit_watermark",
}
# Written out again, so that a row that goes from the start-up check's list is missed here.
PREDICATES = {
    "corpus_document": rls.DOCUMENT,
    "corpus_documentkey": rls.DOCUMENT_KEY,
    "corpus_version": rls.DOCUMENT_PART,
    "corpus_subject": rls.DOCUMENT_PART,
    "corpus_mention": rls.DOCUMENT_PART,
    "corpus_chunk": rls.PASSAGE,
    "corpus_chunkvector": rls.PASSAGE,
    "corpus_chunklexemes": rls.PASSAGE,
    "answers_conversation": rls.OWN,
    "answers_exchange": rls.OWN,
    "answers_exchangepassage": rls.OWN,
    "metering_use": rls.OWN,
    "metering_useday": rls.OWN,
    "tenants_tenant": rls.TENANT_ITSELF,
}
# What proves the audit events, to which the sequencer's login adds.
PROOFS = {"audit_log", "audit_leaf", "audit_subtree", "audit_checkpoint"}
INSERT_ONLY = {"tenants_auditevent", "erasure_erasureitem", "erasure_receipt"}
NEVER_DELETED = {"erasure_erasure", "erasure_erasureholding"}
# Deleted with their tenant alone: tests/database/test_offboarding_kept.py.
DELETED_ONCE_CLOSING = {
    "erasure_restriction",
    "erasure_restrictionitem",
    "export_export",
    "export_exportitem",
    "notices_webhook",
    "notices_notice",
    "adapters_adapter",
    "adapters_trainingdocument",
}
NEVER_CHANGED = {
    "erasure_pendingrequest",
    "corpus_mention",
    "export_exportitem",
    "adapters_trainingdocument",
}
# What lies below a document and has its audience.
PARTS = ("documentkey", "version", "subject", "mention", "chunk", "chunkvector", "chunklexemes")
# Columns that name a row without a foreign key to it, each with its reason.
UNBOUND = {
    "corpus_document.current_version_id": "a version points at its document: a circle",
    "corpus_document.latest_version_id": "a version points at its document: a circle",
    "corpus_document.created_by_id": "outlives the member; nothing is read by it",
    "corpus_document.external_id": "the application's own identifier",
    "tenants_member.external_id": "the application's own identifier",
    "tenants_group.external_id": "the application's own identifier",
    "tenants_auditevent.actor_id": "evidence outlives what it names",
    "tenants_auditevent.member_id": "evidence outlives what it names",
    "tenants_auditevent.object_id": "evidence outlives what it names",
    "tenants_auditevent.request_id": "names a request, not a row",
    "tenants_idempotencykey.actor_id": "a key or an account",
    "jobs_job.object_id": "of the kind that the job's name says",
    "erasure_erasure.requested_by_id": "evidence outlives what it names",
    "erasure_erasure.repeats_id": "a case that a restored database does not have",
    "erasure_erasureitem.object_id": "of the kind that the item says; outlives it",
    "notices_notice.object_id": "of the kind that the event says; outlives it",
    "export_export.member_id": "an erasure of the member takes the archive, which loses it then",
    "export_export.requested_by_id": "evidence outlives what it names",
    "export_export.file_id": "names a file, not a row",
    "export_exportitem.document_id": "outlives it",
    "erasure_restriction.placed_by_id": "evidence outlives what it names",
    "erasure_restrictionitem.object_id": "of the kind that the item says; outlives it",
    "adapters_adapter.registered_by_id": "evidence outlives what it names",
    "adapters_adapter.retired_for_id": "evidence outlives what it names",
    "adapters_trainingdocument.version_id": "outlives the version",
    "adapters_trainingdocument.audience_id": "outlives the audience",
    "answers_answeringpolicy.updated_by_id": "a key or a member, which it outlives",
    "answers_exchangepassage.member_id": "repeats its exchange's",
    "answers_exchangepassage.version_id": "outlives the version",
    "answers_exchangepassage.chunk_id": "outlives the chunk",
    "metering_use.key_id": "outlives the key",
    "metering_useday.key_id": "outlives the key",
}


def _rows(query: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(query, values or [])
        return list(cursor.fetchall())


def _tenant_tables() -> set[str]:
    return {table for (table,) in _rows(TENANT_TABLES)}


def test_there_are_tenant_tables() -> None:
    assert {"corpus_chunk", "tenants_member", "answers_exchange", "jobs_job"} <= _tenant_tables()


def test_every_table_belongs_to_a_tenant_or_is_known_to_belong_to_nobody() -> None:
    everything = {
        table
        for (table,) in _rows(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND relname NOT LIKE 'auth_%%'"
        )
    }

    assert everything - _tenant_tables() - set(SHARED_TABLES) == OPERATORS_TABLES


def test_the_tenant_leads_every_primary_key_and_unique_constraint() -> None:
    leading = _rows(
        "SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indisunique AND i.indrelid::regclass::text = ANY (%s)",
        [list(_tenant_tables())],
    )

    others = {index for index, column in leading if column != "tenant_id"}
    assert others == KEYED_WITHOUT_TENANT | KEYED_BY_ID_FIRST


def test_vectors_and_words_have_one_index_that_begins_with_the_tenant() -> None:
    leading = _rows(
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'tenant_id'"
        " WHERE i.indrelid IN ('corpus_chunkvector'::regclass, 'corpus_chunklexemes'::regclass)"
    )

    assert {index for (index,) in leading} == {"vector_by_audience", "lexemes_by_audience"}


def test_every_tenant_table_has_a_primary_key_of_tenant_and_id() -> None:
    keys = _rows(
        "SELECT i.indrelid::regclass::text, array(SELECT a.attname::text FROM pg_attribute a"
        " WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) ORDER BY a.attname DESC)"
        " FROM pg_index i WHERE i.indisprimary AND i.indrelid::regclass::text = ANY (%s)",
        [list(_tenant_tables())],
    )

    expected = {table: ["tenant_id", "id"] for table in _tenant_tables()}
    assert dict(keys) == expected | {"tenants_account": ["id"]}


def test_a_row_without_a_tenant_cannot_exist() -> None:
    nullable = _rows(
        "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'tenant_id'"
        " AND NOT attnotnull AND attrelid::regclass::text = ANY (%s)",
        [list(_tenant_tables())],
    )

    assert {table for (table,) in nullable} == TENANT_MAY_BE_NULL


def test_every_tenant_is_one_that_exists() -> None:
    referencing = _rows(
        "SELECT conrelid::regclass::text FROM pg_constraint"
        " WHERE contype = 'f' AND confrelid = 'tenants_tenant'::regclass"
    )

    # An account reaches its tenant through its member.
    assert {table for (table,) in referencing} == _tenant_tables() - {"tenants_account"}


def test_every_reference_between_tenant_tables_carries_the_tenant() -> None:
    references = _rows(
        "SELECT conrelid::regclass::text || '.' || conname, EXISTS ("
        "   SELECT 1 FROM generate_subscripts(conkey, 1) n"
        "   JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[n]"
        "   JOIN pg_attribute f ON f.attrelid = confrelid AND f.attnum = confkey[n]"
        "   WHERE a.attname = 'tenant_id' AND f.attname = 'tenant_id')"
        " FROM pg_constraint WHERE contype = 'f' AND confrelid::regclass::text = ANY (%s)"
        " AND conrelid::regclass::text = ANY (%s)",
        [list(_tenant_tables()), list(_tenant_tables())],
    )

    assert len(references) > 15
    assert [name for name, carries in references if not carries] == []


def test_every_column_that_names_a_row_is_bound_to_it_or_says_why_not() -> None:
    columns = _rows(
        "SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute a"
        " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname LIKE '%%\\_id'"
        " AND a.attrelid::regclass::text = ANY (%s) AND NOT EXISTS (SELECT 1 FROM pg_constraint c"
        "   WHERE c.contype = 'f' AND c.conrelid = a.attrelid AND a.attnum = ANY (c.conkey))",
        [list(_tenant_tables())],
    )

    unbound = {name for (name,) in columns} - {"tenants_account.tenant_id"}
    assert unbound == set(UNBOUND)


def test_row_level_security_is_forced_on_every_tenant_table() -> None:
    secured = _rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
    )

    assert {table for (table,) in secured} == _tenant_tables() | {"tenants_tenant"}


def test_the_application_has_one_policy_per_table_and_it_is_the_declared_one() -> None:
    policies = _rows(
        "SELECT polrelid::regclass::text, polcmd, polpermissive,"
        " pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy"
        " WHERE polroles = ARRAY['ambit_app'::regrole::oid] ORDER BY 1"
    )

    tables = sorted(_tenant_tables() | {"tenants_tenant"})
    spelled = [(table, _as_postgres_spells_it(table)) for table in tables]
    assert policies == [(table, "*", True, text, text) for table, text in spelled]


def _as_postgres_spells_it(table: str) -> str:
    predicate = PREDICATES.get(table, rls.TENANT)
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE spelled (LIKE {table}) ON COMMIT DROP")
        cursor.execute(f"CREATE POLICY spelled ON spelled USING ({predicate})")
        cursor.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = 'spelled'"
        )
        (text,) = cursor.fetchone()
    return str(text)


def test_no_policy_is_for_everybody_and_the_others_are_the_declared_ones() -> None:
    policies = _rows(
        "SELECT polrelid::regclass::text, polroles::regrole[]::text FROM pg_policy"
        " WHERE polroles <> ARRAY['ambit_app'::regrole::oid] ORDER BY 1, 2"
    )

    assert policies == [
        ("audit_checkpoint", "{ambit_sequencer}"),
        ("audit_leaf", "{ambit_sequencer}"),
        ("audit_log", "{ambit_sequencer}"),
        ("audit_subtree", "{ambit_sequencer}"),
        ("jobs_job", "{ambit_dispatch}"),
        ("metering_use", "{ambit_dispatch}"),
        ("metering_usemonth", "{ambit_operator}"),
        ("tenants_account", "{ambit_operator}"),
        ("tenants_apikey", "{ambit_operator}"),
        ("tenants_auditevent", "{ambit_operator}"),
        # One to read, one to erase values.
        ("tenants_auditevent", "{ambit_sequencer}"),
        ("tenants_auditevent", "{ambit_sequencer}"),
        ("tenants_tenant", "{ambit_operator}"),
        ("tenants_tenant", "{ambit_sequencer}"),
    ]


def test_only_the_policies_with_a_list_of_audiences_hold_a_subquery_which_citus_would_refuse() -> (
    None
):
    trees = _rows(
        "SELECT polrelid::regclass::text, polqual::text || coalesce(polwithcheck::text, '') FROM pg_policy"
    )

    assert len(trees) > 20
    with_subquery = {table for table, tree in trees if "SUBLINK" in tree or "SubLink" in tree}
    assert with_subquery == {"corpus_document"} | {f"corpus_{part}" for part in PARTS}


def test_what_citus_would_refuse_is_known() -> None:
    # Citus 13 refuses ON UPDATE CASCADE in a foreign key that holds the distribution column.
    cascading = _rows(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        " AND (confupdtype <> 'a' OR confdeltype IN ('n', 'd'))"
    )

    assert {table for (table,) in cascading} == {f"corpus_{part}" for part in PARTS}


def test_the_application_may_do_with_each_table_what_was_declared_and_no_more() -> None:
    held: dict[str, set[str]] = {}
    for table, privilege in _rows(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee IN ('ambit_app', 'PUBLIC') AND table_schema = 'public'"
    ):
        held.setdefault(table, set()).add(privilege)

    everything = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    expected = dict.fromkeys(_tenant_tables(), everything) | SHARED_TABLES
    expected |= {table: {"SELECT", "INSERT"} for table in INSERT_ONLY}
    expected |= {table: {"SELECT", "INSERT", "UPDATE"} for table in NEVER_DELETED}
    expected |= {table: {"SELECT"} for table in PROOFS}
    expected |= {table: {"SELECT", "INSERT", "DELETE"} for table in NEVER_CHANGED}
    expected |= {"tenants_tenant": {"SELECT", "UPDATE"}}
    assert held == expected


def test_no_statistics_are_kept_of_what_people_wrote() -> None:
    without = _rows(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attstattarget = 0"
        " AND attrelid::regclass::text LIKE 'corpus%%' AND NOT attisdropped"
    )

    assert set(without) >= {
        ("corpus_chunk", "body_sealed"),
        ("corpus_chunklexemes", "words"),
        ("corpus_chunkvector", "embedding"),
        ("corpus_document", "metadata"),
        ("corpus_mention", "value_mac"),
    }


def test_every_reference_leads_with_the_tenant_and_is_never_loosened(
    superuser: psycopg.Connection,
) -> None:
    references = superuser.execute(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
        " AND conrelid::regclass::text = ANY (%s) AND confrelid <> 'tenants_tenant'::regclass",
        [list(_tenant_tables())],
    ).fetchall()

    for table, definition in references:
        assert re.match(r"FOREIGN KEY \(tenant_id, .*\) REFERENCES \w+\(tenant_id, ", definition), (
            table,
            definition,
        )
        assert "SET NULL" not in definition
        assert "NOT VALID" not in definition


@pytest.mark.parametrize(
    "role", ["ambit_app", "ambit_operator", "ambit_dispatch", "ambit_sequencer"]
)
def test_no_login_but_the_owner_may_change_the_schema(role: str) -> None:
    may = _rows(
        "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication,"
        " EXISTS (SELECT 1 FROM pg_auth_members WHERE member = oid OR roleid = oid),"
        " EXISTS (SELECT 1 FROM pg_class WHERE relowner = pg_roles.oid),"
        " has_schema_privilege(oid, 'public', 'CREATE'),"
        " has_database_privilege(oid, current_database(), 'CREATE, TEMPORARY'),"
        " EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
        "   AND c.relkind IN ('r', 'p')"
        "   AND has_table_privilege(pg_roles.oid, c.oid, 'TRUNCATE, REFERENCES, TRIGGER, MAINTAIN'))"
        " FROM pg_roles WHERE rolname = %s",
        [role],
    )

    assert may == [(False,) * 6]


def test_nothing_in_the_schema_reads_with_the_rights_of_another() -> None:
    views = _rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm', 'f')"
        " AND relnamespace = 'public'::regnamespace"
    )
    definers = _rows(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )

    assert (views, definers) == ([], [])
