"""Keys led by the tenant, references inside the tenant, row-level security."""

from django.db import migrations

from tenants.rls import Reference, isolate


class Migration(migrations.Migration):
    dependencies = [("erasure", "0001_initial"), ("tenants", "0002_isolation")]

    operations = [
        isolate("erasure_erasure", privileges="SELECT, INSERT, UPDATE"),
        isolate(
            "erasure_erasureitem",
            privileges="SELECT, INSERT",
            references=(Reference("erasure_id", "erasure_erasure"),),
        ),
    ]
