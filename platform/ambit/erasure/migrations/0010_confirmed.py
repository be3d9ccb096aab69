"""Of the documents of a case, those that a person confirmed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("erasure", "0009_receipts")]

    operations = [
        migrations.AddField(
            model_name="erasure",
            name="n_confirmed_documents",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
