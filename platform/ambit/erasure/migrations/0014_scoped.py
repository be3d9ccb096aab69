"""Scoped is a state of its own: counted in every place, before anything was destroyed."""

from __future__ import annotations

from django.db import migrations, models

STATES = [
    ("received", "Received"),
    ("hidden", "Hidden"),
    ("scoped", "Scoped"),
    ("shredded", "Shredded"),
    ("scrubbed", "Scrubbed"),
    ("verified", "Verified"),
    ("closed", "Closed"),
    ("incomplete", "Incomplete"),
    ("held", "Held in part"),
    ("refused", "Refused"),
]


class Migration(migrations.Migration):
    dependencies = [("erasure", "0013_offboarding")]

    operations = [
        migrations.AddField("erasure", "scoped_at", models.DateTimeField(null=True)),
        migrations.AlterField(
            "erasure",
            "state",
            models.CharField(choices=STATES, default="received", max_length=12),
        ),
    ]
