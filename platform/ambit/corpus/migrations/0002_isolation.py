"""Keys led by the tenant, parts bound to their document and its audience, row-level security."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.rls import DOCUMENT, DOCUMENT_KEY, DOCUMENT_PART, PASSAGE, Reference, isolate

# A part's audience is its document's: the database follows when the document's changes.
OF_DOCUMENT = Reference(
    "document_id, audience_id",
    "corpus_document",
    target="id, audience_id",
    action="ON UPDATE CASCADE",
)
OF_CHUNK = Reference("id", "corpus_chunk")


class Migration(migrations.Migration):
    dependencies = [("corpus", "0001_initial"), ("access", "0002_isolation")]

    operations = [
        isolate(
            "corpus_document",
            reads=DOCUMENT,
            references=(
                Reference("collection_id", "access_collection"),
                Reference("audience_id", "access_audience"),
            ),
        ),
        isolate("corpus_documentkey", reads=DOCUMENT_KEY, references=(OF_DOCUMENT,)),
        isolate("corpus_version", reads=DOCUMENT_PART, references=(OF_DOCUMENT,)),
        isolate("corpus_subject", reads=DOCUMENT_PART, references=(OF_DOCUMENT,)),
        isolate(
            "corpus_chunk",
            reads=PASSAGE,
            references=(OF_DOCUMENT, Reference("version_id", "corpus_version")),
        ),
        isolate("corpus_chunkvector", reads=PASSAGE, references=(OF_DOCUMENT, OF_CHUNK)),
        isolate("corpus_chunklexemes", reads=PASSAGE, references=(OF_DOCUMENT, OF_CHUNK)),
        RunSQL(
            [
                # 776 bytes a vector: kept in the row, where an exact scan reads it without a detour.
                "ALTER TABLE corpus_chunkvector ALTER COLUMN embedding SET STORAGE PLAIN",
                # No sample of what people wrote is kept in the planner's statistics.
                "ALTER TABLE corpus_chunkvector ALTER COLUMN embedding SET STATISTICS 0",
                "ALTER TABLE corpus_chunklexemes ALTER COLUMN lexemes SET STATISTICS 0",
                "ALTER TABLE corpus_chunk ALTER COLUMN body_sealed SET STATISTICS 0",
                "ALTER TABLE corpus_document ALTER COLUMN metadata SET STATISTICS 0",
                "ALTER TABLE access_grant ADD FOREIGN KEY (tenant_id, document_id)"
                " REFERENCES corpus_document (tenant_id, id) ON DELETE CASCADE",
            ],
            RunSQL.noop,
        ),
    ]
