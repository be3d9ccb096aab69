"""A commit that takes something from anybody's reach raises the tenant's epoch, whoever writes it and by whichever way."""

from __future__ import annotations

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import revokes

# Once a transaction, and as its last deed: the tenant's row, which all its revocations write, is locked for as
# long as a commit takes, and who has it waits for nobody. The transaction's number makes the note of having done
# so worthless to any other. A scope may have ended before its transaction, so the tenant is named again.
_RAISE = """
CREATE FUNCTION ambit_raise_epoch(of_tenant uuid) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    once text := of_tenant || ' ' || pg_current_xact_id();
    in_scope text := current_setting('ambit.tenant_id', true);
BEGIN
    IF current_setting('ambit.epoch_raised', true) = once THEN
        RETURN;
    END IF;
    PERFORM set_config('ambit.tenant_id', of_tenant::text, true);
    UPDATE tenants_tenant SET salt_epoch = salt_epoch + 1 WHERE id = of_tenant;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'who takes this from a reader may not raise the epoch' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('ambit.tenant_id', in_scope, true), set_config('ambit.epoch_raised', once, true);
END $$
"""
_REVOKED = """
CREATE FUNCTION ambit_revoked() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM ambit_raise_epoch(OLD.tenant_id);
    RETURN NULL;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_refusal_named")]

    operations = [
        RunSQL([_RAISE, _REVOKED], RunSQL.noop),
        revokes("tenants_groupmember", "DELETE OR UPDATE"),
        revokes("tenants_groupchild", "DELETE OR UPDATE"),
        revokes("tenants_group", "DELETE"),
        revokes("tenants_member", "DELETE"),
        revokes(
            "tenants_member",
            "UPDATE OF suspended_at",
            name="revokes_suspended",
            when="OLD.suspended_at IS NULL AND NEW.suspended_at IS NOT NULL",
        ),
        # Whoever asked with it: what is being written for it ends.
        revokes(
            "tenants_apikey",
            "UPDATE OF revoked_at",
            when="OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL",
        ),
    ]
