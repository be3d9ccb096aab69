"""The language that a version's words are stemmed by; "" where nothing told it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0006_nearest_along_graph")]

    operations = [
        migrations.AddField("version", "language", models.CharField(blank=True, max_length=3)),
    ]
