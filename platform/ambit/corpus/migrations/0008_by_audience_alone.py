"""Leave the legs of a search one index that begins with the tenant: that by audience.

By another, the planner could read what of the tenant's the caller may not see, and drop it afterwards:
nothing would be told, but the work, and its time, would depend on what is hidden.
"""

from __future__ import annotations

from django.db import migrations, models

TABLES = ("chunkvector", "chunklexemes")
NAMES = {"chunkvector": "vector_by_document", "chunklexemes": "lexemes_by_document"}


def _by_document(table: str) -> list[migrations.operations.base.Operation]:
    return [
        migrations.RemoveIndex(table, NAMES[table]),
        migrations.AddIndex(
            table, models.Index(fields=["document_id", "tenant_id"], name=NAMES[table])
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [("corpus", "0007_language")]

    operations = [
        *(operation for table in TABLES for operation in _by_document(table)),
        migrations.RunSQL(
            [
                f"ALTER TABLE corpus_{table} DROP CONSTRAINT corpus_{table}_pkey,"
                " ADD PRIMARY KEY (id, tenant_id)"
                for table in TABLES
            ],
            migrations.RunSQL.noop,
        ),
        # A plan that is made without knowing the tenant is made for the largest.
        migrations.RunSQL(
            [
                f"ALTER TABLE corpus_{table} ALTER COLUMN tenant_id SET (n_distinct = 1)"
                for table in ("document", "documentkey", "version", "chunk", *TABLES)
            ],
            migrations.RunSQL.noop,
        ),
    ]
