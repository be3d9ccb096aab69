"""The refusal of a tenant that ends has a name, by which a request under way is told apart from a fault."""

from __future__ import annotations

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import ENDING

_REFUSE = f"""
CREATE OR REPLACE FUNCTION ambit_refuse_closing() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_current_xact_id();
    IF NEW.tenant_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenants_tenant WHERE id = NEW.tenant_id AND closing_at IS NULL
    ) THEN
        RAISE EXCEPTION 'the tenant is off-boarded: it takes no new row' USING ERRCODE = 'insufficient_privilege',
            CONSTRAINT = '{ENDING}';
    END IF;
    RETURN NEW;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_offboarding")]

    operations = [RunSQL(_REFUSE, RunSQL.noop)]
