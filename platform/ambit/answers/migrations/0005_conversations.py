"""Conversations: a turn is its member's own, by its reference."""

import tenants.ids
import tenants.scope
from django.db import migrations, models
from django.db.migrations.operations import RunSQL

from tenants.rls import OWN, Reference, isolate


class Migration(migrations.Migration):
    dependencies = [("answers", "0004_answering_policy"), ("tenants", "0006_revocations")]

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "tenant_id",
                    models.UUIDField(default=tenants.scope.current_tenant_id, editable=False),
                ),
                ("member_id", models.UUIDField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("hidden_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddConstraint(
            "conversation",
            models.UniqueConstraint(
                fields=["tenant_id", "id", "member_id"], name="conversation_member"
            ),
        ),
        migrations.AddIndex(
            "conversation",
            models.Index(fields=["tenant_id", "member_id", "-id"], name="conversation_by_member"),
        ),
        migrations.AddField("exchange", "conversation_id", models.UUIDField(null=True)),
        migrations.AddIndex(
            "exchange",
            models.Index(
                condition=models.Q(("conversation_id__isnull", False)),
                fields=["tenant_id", "conversation_id", "-id"],
                name="exchange_by_conversation",
            ),
        ),
        isolate(
            "answers_conversation",
            reads=OWN,
            references=(Reference("member_id", "tenants_member"),),
        ),
        RunSQL(
            "ALTER TABLE answers_exchange ADD FOREIGN KEY (tenant_id, conversation_id, member_id)"
            " REFERENCES answers_conversation (tenant_id, id, member_id)",
            RunSQL.noop,
        ),
    ]
