"""Read the list of audiences once a statement instead of once a row, in every policy that has it."""

from __future__ import annotations

from django.db import migrations

from tenants.rls import DOCUMENT, DOCUMENT_KEY, DOCUMENT_PART, PASSAGE, rewrite_policy


class Migration(migrations.Migration):
    dependencies = [("corpus", "0003_external_id_per_audience")]

    operations = [
        rewrite_policy("corpus_document", reads=DOCUMENT),
        rewrite_policy("corpus_documentkey", reads=DOCUMENT_KEY),
        rewrite_policy("corpus_version", reads=DOCUMENT_PART),
        rewrite_policy("corpus_subject", reads=DOCUMENT_PART),
        rewrite_policy("corpus_chunk", reads=PASSAGE),
        rewrite_policy("corpus_chunkvector", reads=PASSAGE),
        rewrite_policy("corpus_chunklexemes", reads=PASSAGE),
    ]
