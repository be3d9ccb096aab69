"""Key led by the tenant, row-level security; the dispatcher may look for work nobody does."""

from django.db import migrations

from tenants.rls import isolate


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial"), ("tenants", "0002_isolation")]

    operations = [isolate("jobs_job", grants={"ambit_dispatch": "SELECT"})]
