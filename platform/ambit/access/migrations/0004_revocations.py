"""A reader who is taken away raises the tenant's epoch at commit; one who is written again was not taken away.

Deleting an audience takes nothing from anybody: Postgres refuses it while a document or collection has it.
"""

from __future__ import annotations

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import revokes

# Looked up at the commit. Where the scope has ended by then nothing is found, and the epoch is raised.
_READER_GONE = """
CREATE FUNCTION ambit_reader_gone() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM access_audienceprincipal p
        WHERE p.tenant_id = OLD.tenant_id AND p.audience_id = OLD.audience_id
          AND p.member_id IS NOT DISTINCT FROM OLD.member_id AND p.group_id IS NOT DISTINCT FROM OLD.group_id
    ) THEN
        PERFORM ambit_raise_epoch(OLD.tenant_id);
    END IF;
    RETURN NULL;
END $$
"""
# Asked while the audience that a document leaves still has its readers. An interned audience never loses one,
# and both are held until commit: of others nobody could say what they will be by then.
_LOSES_READERS = """
CREATE FUNCTION ambit_loses_readers(of_tenant uuid, left_behind uuid, wanted uuid) RETURNS boolean LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (
        SELECT count(*) FROM access_audience a
        WHERE a.tenant_id = of_tenant AND a.id IN (left_behind, wanted) AND a.digest IS NOT NULL
    ) < 2 OR EXISTS (
        SELECT p.member_id, p.group_id FROM access_audienceprincipal p
        WHERE p.tenant_id = of_tenant AND p.audience_id = left_behind
      EXCEPT
        SELECT p.member_id, p.group_id FROM access_audienceprincipal p
        WHERE p.tenant_id = of_tenant AND p.audience_id = wanted
    );
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("access", "0003_principal_first"), ("tenants", "0006_revocations")]

    operations = [
        RunSQL([_READER_GONE, _LOSES_READERS], RunSQL.noop),
        revokes("access_audienceprincipal", "DELETE OR UPDATE", by="ambit_reader_gone"),
        revokes("access_collection", "DELETE"),
    ]
