"""Keys led by the tenant, references inside the tenant, row-level security."""

from django.db import migrations

from tenants.rls import Reference, isolate

PRINCIPALS = (
    Reference("member_id", "tenants_member", action="ON DELETE CASCADE"),
    Reference("group_id", "tenants_group", action="ON DELETE CASCADE"),
)


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial"), ("tenants", "0002_isolation")]

    operations = [
        isolate("access_audience"),
        isolate(
            "access_audienceprincipal",
            references=(
                *PRINCIPALS,
                Reference("audience_id", "access_audience", action="ON DELETE CASCADE"),
            ),
        ),
        isolate("access_collection", references=(Reference("audience_id", "access_audience"),)),
        isolate(
            "access_grant",
            references=(
                *PRINCIPALS,
                Reference("collection_id", "access_collection", action="ON DELETE CASCADE"),
            ),
        ),
    ]
