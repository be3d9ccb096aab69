"""Keys led by the tenant, references inside the tenant, row-level security."""

from django.db import migrations

from tenants.rls import OWN, Reference, isolate


class Migration(migrations.Migration):
    dependencies = [("answers", "0001_initial"), ("corpus", "0002_isolation")]

    operations = [
        isolate(
            "answers_exchange", reads=OWN, references=(Reference("member_id", "tenants_member"),)
        ),
        isolate(
            "answers_exchangepassage",
            reads=OWN,
            references=(
                Reference("exchange_id", "answers_exchange", action="ON DELETE CASCADE"),
                Reference("document_id", "corpus_document"),
            ),
        ),
    ]
