"""Holds and restrictions: what is kept against an erasure, and what nobody reads meanwhile."""

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
    ("held", "Held in part"),
    ("refused", "Refused"),
]


def _keys() -> list[tuple[str, models.UUIDField]]:
    return [
        ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
        ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("erasure", "0005_clock_and_identity"),
        ("corpus", "0011_withheld"),
        ("tenants", "0002_isolation"),
    ]

    operations = [
        migrations.AlterField(
            model_name="erasure",
            name="state",
            field=models.CharField(choices=STATES, default="received", max_length=12),
        ),
        migrations.AddField(
            model_name="erasure", name="held_at", field=models.DateTimeField(null=True)
        ),
        migrations.CreateModel(
            name="Restriction",
            fields=[
                *_keys(),
                ("basis", models.CharField(blank=True, max_length=1)),
                ("subject_type", models.CharField(max_length=20)),
                ("reason_sealed", models.BinaryField()),
                ("placed_by_kind", models.CharField(max_length=16)),
                ("placed_by_id", models.UUIDField(null=True)),
                ("placed_at", models.DateTimeField()),
                ("review_at", models.DateTimeField(null=True)),
                ("lifted_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant_id", "-id"], name="restriction_by_time")],
            },
        ),
        migrations.CreateModel(
            name="RestrictionItem",
            fields=[
                *_keys(),
                ("restriction_id", models.UUIDField()),
                ("kind", models.CharField(max_length=16)),
                ("object_id", models.UUIDField()),
                ("held_document_id", models.UUIDField(null=True)),
                ("held_member_id", models.UUIDField(null=True)),
                ("lifted_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant_id", "object_id"], name="restriction_item_object")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "restriction_id", "kind", "object_id"),
                        name="restriction_item_once",
                    )
                ],
            },
        ),
        isolate("erasure_restriction", privileges="SELECT, INSERT, UPDATE"),
        isolate(
            "erasure_restrictionitem",
            privileges="SELECT, INSERT, UPDATE",
            references=(
                Reference("restriction_id", "erasure_restriction"),
                Reference("held_document_id", "corpus_documentkey", target="document_id"),
                Reference("held_member_id", "tenants_member"),
            ),
        ),
    ]
