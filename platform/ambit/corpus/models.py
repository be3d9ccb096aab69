"""Tables of documents, versions, chunks and vectors; imported only inside the corpus.

Everything below a document repeats the document's audience. A foreign key on (tenant_id,
document_id, audience_id) with ON UPDATE CASCADE keeps it equal: a chunk that another audience may
read than its document's cannot exist.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Value
from pgvector.django import HalfVectorField, SparseVectorField

from ambit.corpus.types import WORD_DIMENSIONS
from tenants.base import TenantModel


class State(models.TextChoices):
    """Where a version stands on its way to being found."""

    RECEIVED = "received", "Received"
    PARSED = "parsed", "Parsed"
    CHUNKED = "chunked", "Chunked"
    EMBEDDED = "embedded", "Embedded"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    ERASED = "erased", "Erased"


HASH_OF_ID = Func(F("id"), Value(0), function="uuid_hash_extended")


class Document(TenantModel):
    """A document; after erasure, a tombstone that keeps late workers from bringing it back."""

    collection_id = models.UUIDField()
    audience_id = models.UUIDField()
    # False: the collection's grants apply. True: the document's own, and only those.
    own_grants = models.BooleanField(default=False)
    external_id = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: none given
    title_sealed = models.BinaryField(null=True)
    metadata = models.JSONField(default=dict)
    current_version_id = models.UUIDField(null=True)
    latest_version_id = models.UUIDField(null=True)
    created_by_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Set in the transaction that deletes or erases: from its commit nothing retrieves the document.
    hidden_at = models.DateTimeField(null=True)
    # Set with it where a hold or a restriction alone hides the document: it may come back.
    withheld_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                # Within one audience: a refusal tells only those who may see the other document.
                fields=["tenant_id", "collection_id", "audience_id", "external_id"],
                condition=models.Q(hidden_at__isnull=True),
                name="document_external_id",
            ),
            models.CheckConstraint(
                # What is withheld nobody reads, and it was not erased.
                condition=models.Q(withheld_at__isnull=True)
                | models.Q(hidden_at__isnull=False, erased_at__isnull=True),
                name="document_withheld",
            ),
            models.UniqueConstraint(
                fields=["tenant_id", "id", "audience_id"], name="document_audience"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "audience_id", "-id"], name="document_by_audience"),
            # The order in which words are sampled: neither the oldest first nor the newest.
            models.Index(
                "tenant_id",
                "audience_id",
                HASH_OF_ID,
                name="document_by_hash",
                # Neither tombstones nor what has no passages yet.
                condition=models.Q(hidden_at__isnull=True, current_version_id__isnull=False),
            ),
            models.Index(fields=["tenant_id", "collection_id"], name="document_by_collection"),
            models.Index(
                fields=["tenant_id"],
                condition=models.Q(hidden_at__isnull=False, erased_at__isnull=True),
                name="document_hidden",
            ),
        ]


class DocumentPart(TenantModel):
    """A row below a document, read by the document's audience."""

    document_id = models.UUIDField()
    audience_id = models.UUIDField()

    class Meta:
        abstract = True


class DocumentKey(DocumentPart):
    """The document's data key, wrapped by the tenant's key."""

    wrapped = models.BinaryField()
    # Disabled with the hiding, destroyed with the document: text cannot be opened from then on.
    disabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "document_id"], name="document_key_one")
        ]


class Version(DocumentPart):
    """One content of a document and how far its ingest has come."""

    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    file_name_sealed = models.BinaryField(null=True)
    declared_media_type = models.CharField(max_length=200, blank=True)
    media_type = models.CharField(max_length=200, blank=True)
    # BCP 47 primary subtag by which its words are stemmed: as declared, or else as found when stored.
    language = models.CharField(max_length=3, blank=True)
    n_bytes = models.BigIntegerField()
    # Keyed, so that it says nothing about the content to who lacks the key.
    content_mac = models.BinaryField()
    n_pages = models.PositiveIntegerField(null=True)
    n_chunks = models.PositiveIntegerField(null=True)
    n_chunks_embedded = models.PositiveIntegerField(default=0)
    # How many identifiers were found in it; None: not looked for yet, or not all are kept.
    n_mentions = models.PositiveIntegerField(null=True)
    received_at = models.DateTimeField(auto_now_add=True)
    parsed_at = models.DateTimeField(null=True)
    chunked_at = models.DateTimeField(null=True)
    embedded_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "document_id", "number"], name="version_number"
            )
        ]


class Subject(DocumentPart):
    """A person a document is about, as a keyed hash of a declared identifier."""

    type = models.CharField(max_length=20)  # email, external_id, member
    value_mac = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "type", "value_mac", "document_id"], name="subject_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "document_id"], name="subject_by_document")]


class Mention(DocumentPart):
    """An identifier that stands in the document's current version or describes it, as a keyed hash.

    Read in custody, to offer a privacy officer documents that may be about a person; no search reads it.
    """

    kind = models.CharField(max_length=10)  # email, phone, identifier, word
    value_mac = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "value_mac", "document_id"], name="mention_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "document_id"], name="mention_by_document")]


class Chunk(DocumentPart):
    """A piece of a version's extracted text, sealed."""

    version_id = models.UUIDField()
    ordinal = models.PositiveIntegerField()
    char_start = models.PositiveIntegerField()
    char_end = models.PositiveIntegerField()
    page_first = models.PositiveIntegerField(null=True)
    page_last = models.PositiveIntegerField(null=True)
    n_tokens = models.PositiveIntegerField()
    # JSON of text and section.
    body_sealed = models.BinaryField()
    # Keyed hash of what was embedded: the same text is embedded once per tenant and audience.
    embedded_mac = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "version_id", "ordinal"], name="chunk_ordinal"
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "document_id"], name="chunk_by_document"),
            models.Index(
                fields=["tenant_id", "audience_id", "embedded_mac"], name="chunk_by_embedded"
            ),
        ]


class ChunkVector(DocumentPart):
    """A chunk's vector, in a narrow table read in audience order; id is the chunk's.

    One index alone begins with the tenant, that by audience: a search can take no other, whatever the
    planner thinks of sizes.
    """

    embedding = HalfVectorField(dimensions=settings.AMBIT_EMBED_DIMENSIONS)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "audience_id"], name="vector_by_audience"),
            models.Index(fields=["document_id", "tenant_id"], name="vector_by_document"),
        ]


class ChunkLexemes(DocumentPart):
    """A chunk's words as a sparse vector of keyed hashes: nothing ever holds a plain word; id is the chunk's.

    Indexes as of vectors.
    """

    words = SparseVectorField(dimensions=WORD_DIMENSIONS)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "audience_id"], name="lexemes_by_audience"),
            models.Index("document_id", "tenant_id", HASH_OF_ID, name="lexemes_by_document"),
        ]
