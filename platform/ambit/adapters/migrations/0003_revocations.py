"""An adapter that is retired by hand raises the tenant's epoch at the commit.

One that is retired with a document needs no second trigger: what happens to the document raises it.
"""

from __future__ import annotations

from django.db import migrations

from tenants.rls import revokes


class Migration(migrations.Migration):
    dependencies = [("adapters", "0002_isolation"), ("tenants", "0006_revocations")]

    operations = [
        revokes(
            "adapters_adapter",
            "UPDATE OF state",
            when="OLD.state = 'live' AND NEW.state <> 'live'",
        ),
    ]
