"""Keys led by the tenant, references inside the tenant, row-level security."""

from django.db import migrations

from tenants.rls import Reference, isolate, scrubbed


class Migration(migrations.Migration):
    dependencies = [("export", "0001_initial"), ("tenants", "0002_isolation")]

    operations = [
        isolate("export_export", privileges="SELECT, INSERT, UPDATE"),
        scrubbed("export_export", "subject_mac", "wrapped_key", "named_sealed", "reason_sealed"),
        isolate(
            "export_exportitem",
            privileges="SELECT, INSERT",
            references=(Reference("export_id", "export_export"),),
        ),
    ]
