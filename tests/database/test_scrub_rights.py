"""How little the scrubber's login may do, and what Postgres samples of what is destroyed."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connections
from psycopg import errors, sql

from ambit.erasure.registry import REWRITTEN, TABLES
from ambit.scrub.flow import SCRUBBER
from tests.database.private import PrivateDatabase


def test_the_scrubber_reads_and_changes_nothing(bare: PrivateDatabase) -> None:
    with bare.superuser() as connection:
        rows = connection.execute(
            "SELECT relname, privilege FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
            " 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']) AS privilege"
            " WHERE relkind IN ('r', 'p', 'v', 'S') AND relnamespace = 'public'::regnamespace"
            " AND has_table_privilege('ambit_scrubber', oid, privilege)"
        ).fetchall()
    assert sorted(rows) == [(table, "MAINTAIN") for table in REWRITTEN]
    for table in REWRITTEN:
        with (
            connections[SCRUBBER].cursor() as cursor,
            pytest.raises(ProgrammingError) as refused,
        ):
            cursor.execute(f"TABLE {table}")
        assert isinstance(refused.value.__cause__, errors.InsufficientPrivilege), table


def test_postgres_samples_nothing_of_what_is_destroyed(bare: PrivateDatabase) -> None:
    wanted = {(table, column) for table in REWRITTEN for column in TABLES[table].content}
    with bare.superuser() as connection:
        for table in REWRITTEN:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
        sampled = connection.execute(
            "SELECT relname, attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
            " AND attstattarget IS DISTINCT FROM 0"
        ).fetchall()

    # Words of ours, of which there are few.
    harmless = {
        ("tenants_member", "role"),
        ("tenants_idempotencykey", "object_kind"),
        ("corpus_version", "state"),
        ("corpus_version", "reason_code"),
        ("corpus_version", "media_type"),
        ("corpus_version", "language"),
        ("corpus_subject", "type"),
        ("answers_exchange", "generator"),
        # Ids of adapters.
        ("answers_exchange", "adapter_ids"),
        ("answers_answeringpolicy", "tone"),
        ("answers_answeringpolicy", "language"),
        ("answers_answeringpolicy", "updated_by_kind"),
        ("corpus_mention", "kind"),
        ("export_export", "state"),
        ("export_export", "subject_type"),
        ("export_export", "requested_by_kind"),
        ("export_export", "ended_because"),
        ("notices_webhook", "events"),
        ("adapters_adapter", "state"),
        ("adapters_adapter", "retired_because"),
        ("adapters_adapter", "load_fault"),
        # The model's name, and ids of lists of readers.
        ("adapters_adapter", "base"),
        ("adapters_adapter", "audience_ids"),
        ("erasure_erasure", "state"),
        ("erasure_erasure", "subject_type"),
        ("erasure_erasure", "requested_by_kind"),
        ("erasure_erasure", "log_position"),
        ("erasure_erasure", "log_segment"),
        ("erasure_erasure", "waits_for"),
    }
    assert wanted & set(sampled) == harmless
