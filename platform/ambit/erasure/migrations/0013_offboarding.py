"""What a tenant that ends takes along: no new row of it anywhere, and rows that are kept otherwise may go."""

from __future__ import annotations

from django.db import migrations

from tenants.rls import deleted_once_closing, refused_once_closing, scrubbed


class Migration(migrations.Migration):
    dependencies = [
        ("erasure", "0012_tombstones"),
        ("tenants", "0004_offboarding"),
        ("access", "0003_principal_first"),
        ("answers", "0002_isolation"),
        ("corpus", "0012_mentions"),
        ("export", "0002_isolation"),
        ("jobs", "0002_isolation"),
        ("notices", "0002_isolation"),
    ]

    operations = [
        # Every other table's rows belong to one of these, and go and stay away with it.
        *(
            refused_once_closing(table)
            for table in (
                "access_audience",
                "access_collection",
                "answers_exchange",
                "corpus_document",
                "erasure_erasure",
                "erasure_pendingrequest",
                "erasure_restriction",
                "export_export",
                "jobs_job",
                "notices_notice",
                "notices_webhook",
            )
        ),
        *(
            deleted_once_closing(table)
            for table in (
                "erasure_restriction",
                "erasure_restrictionitem",
                "export_export",
                "export_exportitem",
                "notices_notice",
                "notices_webhook",
            )
        ),
        scrubbed("access_collection", "name"),
        scrubbed("notices_webhook", "name", "wrapped_key", "sealed"),
    ]
