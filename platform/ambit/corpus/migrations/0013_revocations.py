"""What takes a document, or a version of it, from its readers raises the tenant's epoch at commit.

A first version that becomes visible takes nothing, nor does what happens to a document that is hidden already.
"""

from __future__ import annotations

from django.db import migrations

from tenants.rls import revokes

SHOWN = "OLD.hidden_at IS NULL"


class Migration(migrations.Migration):
    dependencies = [("corpus", "0012_mentions"), ("access", "0004_revocations")]

    operations = [
        revokes("corpus_document", "DELETE", when=SHOWN),
        revokes(
            "corpus_document",
            "UPDATE OF hidden_at",
            name="revokes_hidden",
            when=f"{SHOWN} AND NEW.hidden_at IS NOT NULL",
        ),
        revokes(
            "corpus_document",
            "UPDATE OF audience_id",
            name="revokes_audience",
            when=f"{SHOWN} AND OLD.audience_id <> NEW.audience_id"
            " AND ambit_loses_readers(OLD.tenant_id, OLD.audience_id, NEW.audience_id)",
        ),
        revokes(
            "corpus_document",
            "UPDATE OF current_version_id",
            name="revokes_version",
            when=f"{SHOWN} AND OLD.current_version_id IS NOT NULL"
            " AND OLD.current_version_id IS DISTINCT FROM NEW.current_version_id",
        ),
        revokes("corpus_documentkey", "DELETE", when="OLD.disabled_at IS NULL"),
        revokes(
            "corpus_documentkey",
            "UPDATE OF disabled_at",
            name="revokes_disabled",
            when="OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL",
        ),
    ]
