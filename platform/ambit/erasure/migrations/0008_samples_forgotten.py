"""Samples of content that Postgres took before go from its catalogue's pages."""

from django.db import migrations


class Migration(migrations.Migration):
    # VACUUM is no part of a transaction.
    atomic = False

    dependencies = [("erasure", "0007_scrubbed")]

    operations = [
        migrations.RunSQL("VACUUM (FULL) pg_catalog.pg_statistic", migrations.RunSQL.noop),
    ]
