"""Keys led by the tenant, row-level security, and the triggers by which no code can forget to retire an adapter.

Whoever changes a document waits for a registration that names it: it holds the document FOR SHARE until its commit.
Who registers sees the change, or who changes sees the registration.
"""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import Reference, deleted_once_closing, isolate, refused_once_closing, scrubbed

# All after the change: what policies and references refuse is refused by them, and says so.
_STATE = """
CREATE OR REPLACE FUNCTION ambit_adapter_state() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'candidate' OR NEW.stored_at IS NOT NULL THEN
            RAISE EXCEPTION 'an adapter begins as a candidate' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    IF (NEW.tenant_id, NEW.id, NEW.served_name, NEW.base, NEW.rank, NEW.sha256, NEW.n_bytes, NEW.audience_ids,
        NEW.n_documents, NEW.registered_by_id, NEW.registered_at)
       IS DISTINCT FROM
       (OLD.tenant_id, OLD.id, OLD.served_name, OLD.base, OLD.rank, OLD.sha256, OLD.n_bytes, OLD.audience_ids,
        OLD.n_documents, OLD.registered_by_id, OLD.registered_at)
    THEN
        RAISE EXCEPTION 'a registered adapter is never altered: register a new one'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('candidate', 'live'), ('candidate', 'retired'), ('live', 'retired'), ('retired', 'erased'))
    THEN
        RAISE EXCEPTION 'an adapter does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'live' AND OLD.state <> 'live' AND (NEW.stored_at IS NULL OR NEW.n_documents <> (
        SELECT count(*) FROM adapters_trainingdocument t
        WHERE t.tenant_id = NEW.tenant_id AND t.adapter_id = NEW.id))
    THEN
        RAISE EXCEPTION 'an adapter is live with its weights and all its training documents only'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
# Under the policies of who registers: a document that it cannot see is not there.
_STANDS = """
CREATE OR REPLACE FUNCTION ambit_training_document_stands() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM adapters_adapter a
    WHERE a.tenant_id = NEW.tenant_id AND a.id = NEW.adapter_id
      AND a.state = 'candidate' AND a.stored_at IS NULL AND NEW.audience_id = ANY (a.audience_ids);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the adapter takes no such training document' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM corpus_document d
    WHERE d.tenant_id = NEW.tenant_id AND d.id = NEW.document_id AND d.audience_id = NEW.audience_id
      AND d.current_version_id = NEW.version_id AND d.hidden_at IS NULL
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a training document is not what it was'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'training_document_stands';
    END IF;
    RETURN NULL;
END $$
"""
_RETIRE = """
CREATE OR REPLACE FUNCTION ambit_retire_adapters() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE adapters_adapter a
    SET state = 'retired', retired_at = now(), retired_for_id = NEW.id,
        retired_because = CASE
            WHEN NEW.hidden_at IS NOT NULL OR NEW.erased_at IS NOT NULL THEN 'hidden'
            WHEN (NEW.audience_id, NEW.collection_id) IS DISTINCT FROM (OLD.audience_id, OLD.collection_id)
            THEN 'moved'
            ELSE 'replaced' END
    WHERE a.tenant_id = NEW.tenant_id AND a.state IN ('candidate', 'live')
      AND a.id IN (SELECT t.adapter_id FROM adapters_trainingdocument t
                   WHERE t.tenant_id = NEW.tenant_id AND t.document_id = NEW.id);
    RETURN NULL;
END $$
"""
_ON_DOCUMENT = """
CREATE TRIGGER retire_adapters AFTER UPDATE ON corpus_document FOR EACH ROW
WHEN ((OLD.hidden_at, OLD.erased_at, OLD.audience_id, OLD.collection_id, OLD.current_version_id)
      IS DISTINCT FROM
      (NEW.hidden_at, NEW.erased_at, NEW.audience_id, NEW.collection_id, NEW.current_version_id))
EXECUTE FUNCTION ambit_retire_adapters()
"""
# The sweep tells a worker within seconds; no code needs to have noticed. A tenant that is off-boarded takes no work.
_WORK = """
CREATE OR REPLACE FUNCTION ambit_adapter_work() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs_job SET run_after = now(), attempts = 0
    WHERE tenant_id = NEW.tenant_id AND name = 'adapters.place' AND object_id = NEW.id;
    IF NOT FOUND AND EXISTS (
        SELECT FROM tenants_tenant t WHERE t.id = NEW.tenant_id AND t.closing_at IS NULL)
    THEN
        INSERT INTO jobs_job (id, tenant_id, name, object_id, created_at, run_after, attempts)
        VALUES (gen_random_uuid(), NEW.tenant_id, 'adapters.place', NEW.id, now(), now(), 0)
        ON CONFLICT (tenant_id, name, object_id) DO UPDATE SET run_after = now(), attempts = 0;
    END IF;
    RETURN NULL;
END $$
"""
_ON_ADAPTER = """
CREATE TRIGGER work_on_adapter AFTER UPDATE ON adapters_adapter FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state IN ('live', 'retired'))
EXECUTE FUNCTION ambit_adapter_work()
"""


class Migration(migrations.Migration):
    dependencies = [
        ("adapters", "0001_initial"),
        ("corpus", "0012_mentions"),
        ("jobs", "0002_isolation"),
        ("tenants", "0004_offboarding"),
    ]

    operations = [
        isolate("adapters_adapter", privileges="SELECT, INSERT, UPDATE"),
        isolate(
            "adapters_trainingdocument",
            privileges="SELECT, INSERT",
            references=(
                Reference("adapter_id", "adapters_adapter"),
                Reference("document_id", "corpus_document"),
            ),
        ),
        refused_once_closing("adapters_adapter"),
        deleted_once_closing("adapters_adapter"),
        deleted_once_closing("adapters_trainingdocument"),
        scrubbed("adapters_adapter", "name", "served_name", "sha256"),
        RunSQL(
            [
                _STATE,
                "CREATE TRIGGER state_goes_forward AFTER INSERT OR UPDATE ON adapters_adapter"
                " FOR EACH ROW EXECUTE FUNCTION ambit_adapter_state()",
                _STANDS,
                "CREATE TRIGGER stands AFTER INSERT ON adapters_trainingdocument"
                " FOR EACH ROW EXECUTE FUNCTION ambit_training_document_stands()",
                _RETIRE,
                _ON_DOCUMENT,
                _WORK,
                _ON_ADAPTER,
            ],
            RunSQL.noop,
        ),
    ]
