"""Keys led by the tenant, references inside the tenant, row-level security, insert-only audit."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import ALL, TENANT, TENANT_ITSELF, Reference, isolate


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0001_initial"),
        ("sessions", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        RunSQL(
            [
                "ALTER TABLE tenants_tenant ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE tenants_tenant FORCE ROW LEVEL SECURITY",
                "GRANT SELECT, UPDATE ON tenants_tenant TO ambit_app",
                "CREATE POLICY app ON tenants_tenant FOR ALL TO ambit_app"
                f" USING ({TENANT_ITSELF}) WITH CHECK ({TENANT_ITSELF})",
                f"GRANT {ALL} ON tenants_tenant TO ambit_operator",
                "CREATE POLICY ambit_operator ON tenants_tenant FOR ALL TO ambit_operator"
                " USING (true) WITH CHECK (true)",
                f"GRANT {ALL} ON tenants_operatorkey TO ambit_operator",
                f"GRANT {ALL} ON django_session TO ambit_app",
                "GRANT SELECT ON django_content_type, django_migrations TO ambit_app",
            ],
            RunSQL.noop,
        ),
        isolate("tenants_member"),
        isolate("tenants_group"),
        isolate(
            "tenants_groupmember",
            references=(
                Reference("group_id", "tenants_group", action="ON DELETE CASCADE"),
                Reference("member_id", "tenants_member", action="ON DELETE CASCADE"),
            ),
        ),
        isolate(
            "tenants_groupchild",
            references=(
                Reference("parent_id", "tenants_group", action="ON DELETE CASCADE"),
                Reference("child_id", "tenants_group", action="ON DELETE CASCADE"),
            ),
        ),
        isolate(
            "tenants_apikey",
            references=(Reference("member_id", "tenants_member", action="ON DELETE CASCADE"),),
            grants={"ambit_operator": "INSERT"},
        ),
        isolate("tenants_idempotencykey"),
        isolate(
            "tenants_auditevent",
            privileges="SELECT, INSERT",
            grants={"ambit_operator": "INSERT"},
        ),
        RunSQL(
            [
                """
                CREATE FUNCTION ambit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'audit events are insert-only'; END $$
                """,
                "CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON tenants_auditevent"
                " FOR EACH ROW EXECUTE FUNCTION ambit_refuse_change()",
                "CREATE TRIGGER insert_only_all BEFORE TRUNCATE ON tenants_auditevent"
                " FOR EACH STATEMENT EXECUTE FUNCTION ambit_refuse_change()",
                # An account may have no tenant (the operator's), so its key stays its id.
                "ALTER TABLE tenants_account ADD FOREIGN KEY (tenant_id, member_id)"
                " REFERENCES tenants_member (tenant_id, id) ON DELETE CASCADE",
                "ALTER TABLE tenants_account ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE tenants_account FORCE ROW LEVEL SECURITY",
                f"GRANT {ALL} ON tenants_account TO ambit_app, ambit_operator",
                "CREATE POLICY app ON tenants_account FOR ALL TO ambit_app"
                f" USING ({TENANT}) WITH CHECK ({TENANT})",
                "CREATE POLICY ambit_operator ON tenants_account FOR ALL TO ambit_operator"
                " USING (true) WITH CHECK (true)",
            ],
            RunSQL.noop,
        ),
    ]
