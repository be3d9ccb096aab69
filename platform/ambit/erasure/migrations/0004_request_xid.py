"""The request's transaction, by which a case knows that no older upload is still under way."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("erasure", "0003_holdings")]

    operations = [
        migrations.AddField(
            model_name="erasure",
            name="request_xid",
            field=models.BigIntegerField(default=0),
        ),
    ]
