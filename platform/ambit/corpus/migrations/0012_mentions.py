"""Identifiers that stand in documents, as keyed hashes: looked for when a person is to be forgotten."""

import tenants.ids
import tenants.scope
from django.db import migrations, models

from tenants.rls import DOCUMENT_PART, Reference, isolate, scrubbed

# A part's audience is its document's: the database follows when the document's changes.
OF_DOCUMENT = Reference(
    "document_id, audience_id",
    "corpus_document",
    target="id, audience_id",
    action="ON UPDATE CASCADE",
)


class Migration(migrations.Migration):
    dependencies = [("corpus", "0011_withheld")]

    operations = [
        migrations.CreateModel(
            name="Mention",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(default=tenants.scope.current_tenant_id, editable=False)),
                ("document_id", models.UUIDField()),
                ("audience_id", models.UUIDField()),
                ("kind", models.CharField(max_length=10)),
                ("value_mac", models.BinaryField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant_id", "document_id"], name="mention_by_document")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "value_mac", "document_id"), name="mention_once"
                    )
                ],
            },
        ),
        isolate("corpus_mention", reads=DOCUMENT_PART, privileges="SELECT, INSERT, DELETE", references=(OF_DOCUMENT,)),
        scrubbed("corpus_mention", "value_mac"),
        migrations.AddField(
            model_name="version",
            name="n_mentions",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
