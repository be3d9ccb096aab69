"""Events get what the sequencer needs; the sequencer alone adds to what proves them; nobody changes it.

An event's values may be taken away, each part as a whole and never before the tree has it: what a leaf says
of them stays.
"""

from __future__ import annotations

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import Reference, isolate

_ADDED = "SELECT, INSERT"
_SEQUENCER = "ambit_sequencer"

# Made anew for each row: with one salt for all, an erased value could be guessed from another's.
_EVENTS = [
    "ALTER TABLE tenants_auditevent"
    " ADD COLUMN who_salt bytea DEFAULT uuid_send(gen_random_uuid()),"
    " ADD COLUMN what_salt bytea DEFAULT uuid_send(gen_random_uuid()),"
    " ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id()",
    "CREATE INDEX audit_by_xact ON tenants_auditevent (xact, id)",
    "GRANT SELECT ON tenants_auditevent TO ambit_sequencer",
    "GRANT UPDATE (actor_id, member_id, request_id, who_salt, object_id, document_ids, chunk_ids, what_salt)"
    " ON tenants_auditevent TO ambit_sequencer",
    "CREATE POLICY ambit_sequencer ON tenants_auditevent FOR SELECT TO ambit_sequencer USING (true)",
    "CREATE POLICY ambit_sequencer_erases ON tenants_auditevent FOR UPDATE TO ambit_sequencer"
    " USING (true) WITH CHECK (true)",
    """
    CREATE FUNCTION ambit_erase_values_alone() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
    DECLARE
        kept tenants_auditevent := NEW;
    BEGIN
        IF NEW.who_salt IS NULL THEN
            IF NEW.actor_id IS NOT NULL OR NEW.member_id IS NOT NULL OR NEW.request_id IS NOT NULL THEN
                RAISE EXCEPTION 'an audit event''s values are erased as a whole';
            END IF;
            kept.actor_id := OLD.actor_id; kept.member_id := OLD.member_id;
            kept.request_id := OLD.request_id; kept.who_salt := OLD.who_salt;
        END IF;
        IF NEW.what_salt IS NULL THEN
            IF NEW.object_id IS NOT NULL OR NEW.document_ids <> '{}' OR NEW.chunk_ids <> '{}' THEN
                RAISE EXCEPTION 'an audit event''s values are erased as a whole';
            END IF;
            kept.object_id := OLD.object_id; kept.document_ids := OLD.document_ids;
            kept.chunk_ids := OLD.chunk_ids; kept.what_salt := OLD.what_salt;
        END IF;
        IF kept IS DISTINCT FROM OLD THEN
            RAISE EXCEPTION 'audit events are insert-only';
        END IF;
        IF NOT EXISTS (SELECT FROM audit_leaf l WHERE l.tenant_id = OLD.tenant_id AND l.id = OLD.id) THEN
            RAISE EXCEPTION 'an audit event''s values are erased after its tree has it';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION ambit_take_event() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
    BEGIN
        -- What could not be numbered would keep everything after it from being signed.
        IF NEW.who_salt IS NULL OR NEW.what_salt IS NULL OR NOT isfinite(NEW.at)
           OR abs(extract(epoch FROM NEW.at - now())) > 86400 THEN
            RAISE EXCEPTION 'an audit event has two salts and happens now';
        END IF;
        NEW.xact := pg_current_xact_id();
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER take_event BEFORE INSERT ON tenants_auditevent"
    " FOR EACH ROW EXECUTE FUNCTION ambit_take_event()",
    "DROP TRIGGER insert_only ON tenants_auditevent",
    "CREATE TRIGGER insert_only BEFORE DELETE ON tenants_auditevent"
    " FOR EACH ROW EXECUTE FUNCTION ambit_refuse_change()",
    "CREATE TRIGGER erase_values_alone BEFORE UPDATE ON tenants_auditevent"
    " FOR EACH ROW EXECUTE FUNCTION ambit_erase_values_alone()",
]
# How far the sequencer has come, in the order of transactions.
_WATERMARK = [
    "CREATE TABLE audit_watermark (task text PRIMARY KEY, xact xid8 NOT NULL, event_id uuid NOT NULL)",
    "REVOKE ALL ON audit_watermark FROM PUBLIC",
    "INSERT INTO audit_watermark (task, xact, event_id) VALUES"
    " ('number', '0', '00000000-0000-0000-0000-000000000000'),"
    " ('erase', '0', '00000000-0000-0000-0000-000000000000')",
    "GRANT SELECT, UPDATE ON audit_watermark TO ambit_sequencer",
]


def _insert_only(table: str) -> RunSQL:
    return RunSQL(
        [
            f"CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION ambit_refuse_change()",
            f"CREATE TRIGGER insert_only_all BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ambit_refuse_change()",
        ],
        RunSQL.noop,
    )


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial"), ("tenants", "0003_idempotency_keys_by_age")]

    operations = [
        isolate(
            "audit_log",
            privileges="SELECT",
            grants={_SEQUENCER: "SELECT, INSERT, UPDATE"},
        ),
        isolate(
            "audit_leaf",
            privileges="SELECT",
            references=(Reference("id", "tenants_auditevent"),),
            grants={_SEQUENCER: _ADDED},
        ),
        isolate("audit_subtree", privileges="SELECT", grants={_SEQUENCER: _ADDED}),
        isolate("audit_checkpoint", privileges="SELECT", grants={_SEQUENCER: _ADDED}),
        *(
            _insert_only(f"audit_{table}")
            for table in ("leaf", "subtree", "checkpoint")
        ),
        RunSQL(_EVENTS, RunSQL.noop),
        RunSQL(_WATERMARK, RunSQL.noop),
    ]
