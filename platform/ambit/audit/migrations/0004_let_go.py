"""The sequencer lets go of what events of a tenant that ends say of people."""

from __future__ import annotations

from django.db import migrations, models
from django.db.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_stored"), ("tenants", "0004_offboarding")]

    operations = [
        migrations.AddField("log", "let_go_size", models.BigIntegerField(default=0)),
        RunSQL(
            [
                "GRANT SELECT (id, closing_at) ON tenants_tenant TO ambit_sequencer",
                "CREATE POLICY ambit_sequencer ON tenants_tenant FOR SELECT TO ambit_sequencer USING (true)",
            ],
            RunSQL.noop,
        ),
    ]
