"""Which lines of the ledger of tombstones this database knows; cases that repeat others after a restore."""

from django.db import migrations, models

# Hashes and numbers alone. The dispatcher's login, which the web process does not have, adds; nobody changes.
_KNOWN = [
    "CREATE TABLE erasure_tombstone (number bigint PRIMARY KEY, line_hash bytea NOT NULL,"
    " covers bytea NOT NULL, starts_at bigint NOT NULL, ends_at bigint NOT NULL)",
    "CREATE INDEX erasure_tombstone_covers ON erasure_tombstone (covers)",
    "REVOKE ALL ON erasure_tombstone FROM PUBLIC",
    "GRANT SELECT ON erasure_tombstone TO ambit_app",
    "GRANT SELECT, INSERT ON erasure_tombstone TO ambit_dispatch",
    "CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON erasure_tombstone"
    " FOR EACH ROW EXECUTE FUNCTION ambit_refuse_change()",
    "CREATE TRIGGER insert_only_all BEFORE TRUNCATE ON erasure_tombstone"
    " FOR EACH STATEMENT EXECUTE FUNCTION ambit_refuse_change()",
]


class Migration(migrations.Migration):
    dependencies = [("erasure", "0011_rewrapped"), ("tenants", "0002_isolation")]

    operations = [
        migrations.RunSQL(_KNOWN, "DROP TABLE erasure_tombstone"),
        migrations.AddField("erasure", "repeats_id", models.UUIDField(null=True)),
        migrations.AddField("erasure", "database_system", models.BigIntegerField(default=0)),
    ]
