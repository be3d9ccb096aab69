"""Documents that a hold or a restriction hides, and that may come back with their external id."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0010_a_wider_first_look")]

    operations = [
        migrations.AddField(
            model_name="document", name="withheld_at", field=models.DateTimeField(null=True)
        ),
        migrations.RemoveConstraint(model_name="document", name="document_external_id"),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(
                condition=models.Q(("hidden_at__isnull", True)),
                fields=("tenant_id", "collection_id", "audience_id", "external_id"),
                name="document_external_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("withheld_at__isnull", True),
                    models.Q(("erased_at__isnull", True), ("hidden_at__isnull", False)),
                    _connector="OR",
                ),
                name="document_withheld",
            ),
        ),
    ]
