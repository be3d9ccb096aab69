"""Receipts as they were signed; those of before are kept as they stand, without a signature."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import Reference, isolate

_MOVE = """
INSERT INTO erasure_receipt (id, tenant_id, erasure_id, serial, written_at, note)
SELECT gen_random_uuid(), tenant_id, id, 1,
       greatest(closed_at, held_at, incomplete_at, refused_at, received_at),
       'ambit-receipt/v1' || chr(10) || receipt::text || chr(10)
FROM erasure_erasure WHERE receipt IS NOT NULL
"""
# Whoever migrates owns the tables and reaches no row of them.
_REACH = [f"ALTER TABLE {t} NO FORCE ROW LEVEL SECURITY" for t in ("erasure_erasure", "erasure_receipt")]
_REACH_NONE = [f"ALTER TABLE {t} FORCE ROW LEVEL SECURITY" for t in ("erasure_erasure", "erasure_receipt")]


class Migration(migrations.Migration):
    dependencies = [("erasure", "0008_samples_forgotten")]

    operations = [
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("erasure_id", models.UUIDField()),
                ("serial", models.PositiveIntegerField()),
                ("written_at", models.DateTimeField()),
                ("note", models.TextField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "erasure_id", "serial"), name="receipt_once"
                    )
                ],
            },
        ),
        isolate(
            "erasure_receipt",
            privileges="SELECT, INSERT",
            references=(Reference("erasure_id", "erasure_erasure"),),
        ),
        migrations.RunSQL([*_REACH, _MOVE, *_REACH_NONE], migrations.RunSQL.noop),
        migrations.RemoveField("erasure", "receipt"),
    ]
