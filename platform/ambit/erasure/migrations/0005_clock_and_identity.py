"""The clock of a case, its extension, its identity check and its refusal."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import Reference, isolate

STATES = [
    ("received", "Received"),
    ("hidden", "Hidden"),
    ("destroyed", "Destroyed"),
    ("verified", "Verified"),
    ("closed", "Closed"),
    ("incomplete", "Incomplete"),
    ("refused", "Refused"),
]


def _nullable(name: str, field: type) -> migrations.AddField:
    return migrations.AddField(model_name="erasure", name=name, field=field(null=True))


class Migration(migrations.Migration):
    dependencies = [("erasure", "0004_request_xid"), ("tenants", "0002_isolation")]

    operations = [
        migrations.AlterField(
            model_name="erasure",
            name="state",
            field=models.CharField(choices=STATES, default="received", max_length=12),
        ),
        migrations.AlterField(
            model_name="erasure", name="due_at", field=models.DateTimeField(null=True)
        ),
        _nullable("identified_at", models.DateTimeField),
        _nullable("extended_at", models.DateTimeField),
        _nullable("extension_sealed", models.BinaryField),
        _nullable("refused_at", models.DateTimeField),
        _nullable("refusal_sealed", models.BinaryField),
        migrations.AddField(
            model_name="erasure",
            name="alarmed_percent",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="PendingRequest",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("erasure_id", models.UUIDField()),
                ("wrapped_key", models.BinaryField()),
                ("named_sealed", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "erasure_id"), name="pending_request_once"
                    )
                ],
            },
        ),
        isolate(
            "erasure_pendingrequest",
            privileges="SELECT, INSERT, DELETE",
            references=(Reference("erasure_id", "erasure_erasure"),),
        ),
    ]
