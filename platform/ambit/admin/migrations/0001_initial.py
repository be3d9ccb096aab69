"""The table of failed sign-ins, reached by the operator's role alone."""

from django.db import migrations, models
from django.db.migrations.operations import RunSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0002_isolation")]

    operations = [
        migrations.CreateModel(
            name="SignInGuess",
            fields=[
                ("place_hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("n_failures", models.PositiveIntegerField(default=0)),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["last_at"], name="sign_in_guess_by_time")],
            },
        ),
        RunSQL(
            [
                "REVOKE ALL ON ambit_admin_signinguess FROM PUBLIC",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ambit_admin_signinguess TO ambit_operator",
            ],
            RunSQL.noop,
        ),
    ]
