"""Counts per holding that outlive a killed worker, and what a receipt says beside them."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import Reference, isolate


class Migration(migrations.Migration):
    dependencies = [("erasure", "0002_isolation")]

    operations = [
        migrations.AddField(
            model_name="erasure",
            name="incomplete_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="erasure",
            name="n_shared_documents",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="erasure",
            name="salt_epoch",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="ErasureHolding",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("erasure_id", models.UUIDField()),
                ("name", models.CharField(max_length=40)),
                ("found", models.PositiveIntegerField(default=0)),
                ("destroyed", models.PositiveIntegerField(default=0)),
                ("remaining", models.PositiveIntegerField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "erasure_id", "name"), name="erasure_holding_once"
                    )
                ],
            },
        ),
        isolate(
            "erasure_erasureholding",
            privileges="SELECT, INSERT, UPDATE",
            references=(Reference("erasure_id", "erasure_erasure"),),
        ),
    ]
