"""A tenant may end: from then on Postgres takes no new row of it, and lets go of what it keeps otherwise."""

from __future__ import annotations

from django.db import migrations, models
from django.db.migrations.operations import RunSQL

from tenants.rls import refused_once_closing, scrubbed

# The transaction has its number before it looks: who did not see a closing that is committed has a number from
# before it, and is waited for. Locking the tenant's row instead would make the closing wait for every writer.
_REFUSE = """
CREATE OR REPLACE FUNCTION ambit_refuse_closing() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_current_xact_id();
    IF NEW.tenant_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenants_tenant WHERE id = NEW.tenant_id AND closing_at IS NULL
    ) THEN
        RAISE EXCEPTION 'the tenant is off-boarded: it takes no new row' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""
_KEEP = """
CREATE OR REPLACE FUNCTION ambit_keep_until_closing() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM tenants_tenant WHERE id = OLD.tenant_id AND closing_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'this row is kept until its tenant is off-boarded' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_idempotency_keys_by_age")]

    operations = [
        migrations.AddField(
            "tenant",
            "closing_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            "tenant",
            "closed_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            "tenant",
            models.Index(
                fields=["id"],
                name="tenant_closing",
                condition=models.Q(("closing_at__isnull", False)),
            ),
        ),
        RunSQL([_REFUSE, _KEEP], RunSQL.noop),
        *(
            refused_once_closing(f"tenants_{table}")
            for table in ("member", "group", "apikey", "account", "idempotencykey")
        ),
        scrubbed("tenants_tenant", "name", "slug"),
        scrubbed("tenants_group", "external_id", "name"),
    ]
