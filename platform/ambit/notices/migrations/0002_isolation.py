"""Keys led by the tenant, references inside the tenant, row-level security."""

from django.db import migrations

from tenants.rls import Reference, isolate


class Migration(migrations.Migration):
    dependencies = [("notices", "0001_initial"), ("tenants", "0002_isolation")]

    operations = [
        isolate("notices_webhook", privileges="SELECT, INSERT, UPDATE"),
        isolate(
            "notices_notice",
            privileges="SELECT, INSERT, UPDATE",
            references=(Reference("webhook_id", "notices_webhook"),),
        ),
    ]
