"""For how long each tenant keeps what: policies, from which cases are made."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import Reference, isolate, refused_once_closing


class Migration(migrations.Migration):
    dependencies = [("erasure", "0014_scoped"), ("answers", "0003_by_age"), ("tenants", "0004_offboarding")]

    operations = [
        migrations.CreateModel(
            name="RetentionPolicy",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("data_class", models.CharField(max_length=20)),
                ("days", models.PositiveIntegerField(null=True)),
                ("next_days", models.PositiveIntegerField(null=True)),
                ("effective_at", models.DateTimeField(null=True)),
                ("looked_at", models.DateTimeField(null=True)),
                ("paused_until", models.DateTimeField(null=True)),
                ("last_case_id", models.UUIDField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "data_class"), name="retention_class_once"
                    ),
                    models.CheckConstraint(
                        condition=(models.Q(("days__isnull", True)) | models.Q(("days__gte", 1)))
                        & (models.Q(("next_days__isnull", True)) | models.Q(("next_days__gte", 1))),
                        name="retention_days",
                    ),
                ],
            },
        ),
        isolate(
            "erasure_retentionpolicy",
            references=(Reference("last_case_id", "erasure_erasure"),),
        ),
        refused_once_closing("erasure_retentionpolicy"),
    ]
