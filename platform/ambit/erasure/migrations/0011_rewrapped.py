"""The key of a pending request can be wrapped anew where it lies; nothing else of it is ever changed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("erasure", "0010_confirmed")]

    operations = [
        migrations.RunSQL(
            "GRANT UPDATE (wrapped_key) ON erasure_pendingrequest TO ambit_app",
            "REVOKE UPDATE (wrapped_key) ON erasure_pendingrequest FROM ambit_app",
        ),
    ]
