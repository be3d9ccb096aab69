"""What each tenant wishes of its answers."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import isolate, refused_once_closing, scrubbed


class Migration(migrations.Migration):
    dependencies = [("answers", "0003_by_age"), ("tenants", "0004_offboarding")]

    operations = [
        migrations.CreateModel(
            name="AnsweringPolicy",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("rules", models.TextField(blank=True, default="")),
                ("tone", models.CharField(default="neutral", max_length=20)),
                ("language", models.CharField(blank=True, default="", max_length=8)),
                ("version", models.PositiveIntegerField(default=0)),
                ("updated_at", models.DateTimeField(null=True)),
                ("updated_by_kind", models.CharField(blank=True, default="", max_length=16)),
                ("updated_by_id", models.UUIDField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id",), name="answering_policy_once"),
                ],
            },
        ),
        isolate("answers_answeringpolicy"),
        # Free text: what was taken out of it must not stay on disk.
        scrubbed("answers_answeringpolicy", "rules"),
        refused_once_closing("answers_answeringpolicy"),
    ]
