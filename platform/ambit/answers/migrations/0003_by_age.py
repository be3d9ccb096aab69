"""Answers that go by age are hidden first, and found by when they were asked."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("answers", "0002_isolation")]

    operations = [
        migrations.AddField("exchange", "hidden_at", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "exchange", models.Index(fields=["tenant_id", "asked_at"], name="exchange_by_age")
        ),
    ]
