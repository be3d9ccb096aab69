"""Find the outlived idempotency keys of a tenant."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_isolation")]

    operations = [
        migrations.AddIndex(
            "idempotencykey",
            models.Index(fields=["tenant_id", "created_at"], name="idempotency_key_by_age"),
        ),
    ]
