"""Words as sparse vectors of the same hashes: one inner product is a passage's score.

The values of rows that are there are made of how often their words stand, as ambit.corpus.lexemes makes
those of new ones.
"""

from __future__ import annotations

import pgvector.django
from django.db import migrations, models

_CONVERT = """
CREATE FUNCTION pg_temp.as_sparse(lexemes tsvector) RETURNS sparsevec LANGUAGE sql AS $$
    SELECT ('{' || coalesce(string_agg(stem + 1 || ':' || value, ','), '') || '}/1000000000')::sparsevec
    FROM (
        SELECT stem, n * 2.5 / (n + 1.5 * (0.25 + 0.75 * sum(n) OVER () / 100)) AS value
        FROM (
            SELECT ('x' || lexeme)::bit(56)::bigint % 1000000000 AS stem,
                   sum(coalesce(cardinality(positions), 1))::float4 AS n
            FROM unnest(lexemes)
            -- The canary's word is no hash.
            WHERE lexeme ~ '^[0-9a-f]{14}$'
            GROUP BY stem
        ) AS counted
    ) AS saturated
$$;
-- A row is read whole in each search: beside its page only where no page holds it.
ALTER TABLE corpus_chunklexemes SET (toast_tuple_target = 8160);
ALTER TABLE corpus_chunklexemes
    ALTER COLUMN lexemes TYPE sparsevec(1000000000) USING pg_temp.as_sparse(lexemes);
DROP FUNCTION pg_temp.as_sparse(tsvector);
ALTER TABLE corpus_chunklexemes RENAME COLUMN lexemes TO words;
ALTER TABLE corpus_chunklexemes ALTER COLUMN words SET STATISTICS 0;
"""


_HASH_OF_ID = models.Func(models.F("id"), models.Value(0), function="uuid_hash_extended")


class Migration(migrations.Migration):
    dependencies = [("corpus", "0008_by_audience_alone")]

    operations = [
        migrations.RemoveIndex("chunklexemes", "lexemes_by_audience"),
        migrations.RemoveIndex("chunklexemes", "lexemes_by_document"),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_CONVERT)],
            state_operations=[
                migrations.RenameField("chunklexemes", "lexemes", "words"),
                migrations.AlterField(
                    "chunklexemes",
                    "words",
                    pgvector.django.SparseVectorField(dimensions=1_000_000_000),
                ),
            ],
        ),
        migrations.AddIndex(
            "chunklexemes",
            models.Index(fields=["tenant_id", "audience_id"], name="lexemes_by_audience"),
        ),
        migrations.AddIndex(
            "chunklexemes",
            models.Index("document_id", "tenant_id", _HASH_OF_ID, name="lexemes_by_document"),
        ),
        migrations.AddIndex(
            "document",
            models.Index(
                "tenant_id",
                "audience_id",
                _HASH_OF_ID,
                name="document_by_hash",
                condition=models.Q(hidden_at__isnull=True, current_version_id__isnull=False),
            ),
        ),
    ]
