"""Shredded and scrubbed are states of their own; and who may rewrite which tables."""

from django.db import migrations, models

from tenants.rls import scrubbed

STATES = [
    ("received", "Received"),
    ("hidden", "Hidden"),
    ("shredded", "Shredded"),
    ("scrubbed", "Scrubbed"),
    ("verified", "Verified"),
    ("closed", "Closed"),
    ("incomplete", "Incomplete"),
    ("held", "Held in part"),
    ("refused", "Refused"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("erasure", "0006_restrictions"),
        ("corpus", "0011_withheld"),
        ("answers", "0002_isolation"),
        ("tenants", "0003_idempotency_keys_by_age"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RenameField("erasure", "destroyed_at", "shredded_at"),
        migrations.AlterField(
            model_name="erasure",
            name="state",
            field=models.CharField(choices=STATES, default="received", max_length=12),
        ),
        migrations.RunSQL(
            [
                # Whoever migrates owns the table and reaches no row of it.
                "ALTER TABLE erasure_erasure NO FORCE ROW LEVEL SECURITY",
                "UPDATE erasure_erasure SET state = 'shredded' WHERE state = 'destroyed'",
                "ALTER TABLE erasure_erasure FORCE ROW LEVEL SECURITY",
            ],
            migrations.RunSQL.noop,
        ),
        migrations.AddField("erasure", "shredded_xid", models.BigIntegerField(default=0)),
        migrations.AddField("erasure", "shredded_files", models.JSONField(default=dict)),
        migrations.AddField("erasure", "scrubbed_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "erasure", "log_position", models.CharField(blank=True, max_length=20)
        ),
        migrations.AddField("erasure", "log_segment", models.CharField(blank=True, max_length=24)),
        migrations.AddField("erasure", "waits_for", models.CharField(blank=True, max_length=10)),
        scrubbed("tenants_member", "external_id", "email", "name"),
        scrubbed("tenants_apikey", "name", "secret_hash", "scopes"),
        scrubbed("tenants_account", "password", "sign_in"),
        scrubbed("tenants_idempotencykey", "key_hash", "request_hash", "object_ids"),
        scrubbed("corpus_document", "external_id", "title_sealed", "metadata"),
        scrubbed("corpus_documentkey", "wrapped"),
        scrubbed(
            "corpus_version", "reason", "file_name_sealed", "declared_media_type", "content_mac"
        ),
        scrubbed("corpus_subject", "value_mac"),
        scrubbed("corpus_chunkvector", "embedding"),
        scrubbed("corpus_chunklexemes", "words"),
        scrubbed("answers_exchange", "wrapped_key", "body_sealed"),
        scrubbed(
            "erasure_erasure",
            "subject_mac",
            "reason_sealed",
            "extension_sealed",
            "refusal_sealed",
            "shredded_files",
            "receipt",
        ),
        scrubbed("erasure_pendingrequest", "wrapped_key", "named_sealed"),
        scrubbed("django_session", "session_key", "session_data"),
    ]
