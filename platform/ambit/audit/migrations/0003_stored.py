"""How far copies in a bucket are, by tenant and, for the web server to show, for all together."""

from django.db import migrations, models
from django.db.migrations.operations import RunSQL


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0002_isolation'),
    ]

    operations = [
        migrations.CreateModel(
            name='Copying',
            fields=[
                ('place', models.CharField(max_length=10, primary_key=True, serialize=False)),
                ('n_behind', models.IntegerField(default=0)),
                ('n_tries', models.IntegerField(default=0)),
                ('fault', models.CharField(blank=True, max_length=40)),
                ('failing_since', models.DateTimeField(null=True)),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='log',
            name='stored_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='log',
            name='stored_size',
            field=models.BigIntegerField(default=0),
        ),
        RunSQL(
            [
                "GRANT SELECT ON audit_copying TO ambit_app",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON audit_copying TO ambit_sequencer",
            ],
            RunSQL.noop,
        ),
    ]
