"""Which adapters are behind an answer: what they were trained on is what it was made from."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("answers", "0005_conversations"), ("adapters", "0003_revocations")]

    operations = [
        migrations.AddField(
            "exchange",
            "adapter_ids",
            django.contrib.postgres.fields.ArrayField(models.UUIDField(), null=True, size=None),
        ),
        migrations.AddIndex(
            "exchange",
            models.Index(
                condition=models.Q(("adapter_ids__isnull", False)),
                fields=["tenant_id", "-id"],
                name="exchange_by_adapters",
            ),
        ),
    ]
