"""A tenant of our own with one row in each table of the corpus: what the start-up check looks for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from pgvector import HalfVector, SparseVector

from ambit.corpus.models import (
    Chunk,
    ChunkLexemes,
    ChunkVector,
    Document,
    DocumentKey,
    Mention,
    Subject,
    Version,
)
from ambit.corpus.queries import reading
from ambit.corpus.types import WORD_DIMENSIONS, Clearance
from tenants.scope import audience_scope

CANARY_TENANT = UUID("00000000-0000-7000-8000-00000000ca4a")
CANARY_AUDIENCE = UUID("00000000-0000-7000-8000-00000000ca4b")
CANARY_DOCUMENT = UUID("00000000-0000-7000-8000-00000000ca4c")


def plant_canary_document(*, collection_id: UUID) -> None:
    """Write the canary's rows in its tenant's scope, in custody; rows that exist are left."""
    of_tenant: dict[str, Any] = {"tenant_id": CANARY_TENANT}
    of = of_tenant | {"document_id": CANARY_DOCUMENT, "audience_id": CANARY_AUDIENCE}
    with audience_scope([CANARY_AUDIENCE]):
        Document.objects.get_or_create(
            id=CANARY_DOCUMENT,
            defaults=of_tenant
            | {
                "collection_id": collection_id,
                "audience_id": CANARY_AUDIENCE,
                "latest_version_id": CANARY_DOCUMENT,
                "current_version_id": CANARY_DOCUMENT,
            },
        )
        DocumentKey.objects.get_or_create(id=CANARY_DOCUMENT, defaults=of | {"wrapped": b""})
        Version.objects.get_or_create(
            id=CANARY_DOCUMENT, defaults=of | {"number": 1, "n_bytes": 0, "content_mac": b""}
        )
        Subject.objects.get_or_create(
            id=CANARY_DOCUMENT, defaults=of | {"type": "member", "value_mac": b""}
        )
        Mention.objects.get_or_create(
            id=CANARY_DOCUMENT, defaults=of | {"kind": "word", "value_mac": b""}
        )
        Chunk.objects.get_or_create(
            id=CANARY_DOCUMENT,
            defaults=of
            | {
                "version_id": CANARY_DOCUMENT,
                "ordinal": 0,
                "char_start": 0,
                "char_end": 0,
                "n_tokens": 0,
                "body_sealed": b"",
                "embedded_mac": b"",
            },
        )
        unit = [1.0] + [0.0] * (settings.AMBIT_EMBED_DIMENSIONS - 1)
        ChunkVector.objects.get_or_create(
            id=CANARY_DOCUMENT, defaults=of | {"embedding": HalfVector(unit)}
        )
        ChunkLexemes.objects.get_or_create(
            id=CANARY_DOCUMENT, defaults=of | {"words": SparseVector({0: 1.0}, WORD_DIMENSIONS)}
        )


def canary_rows(tables: Sequence[str], *, clearance: Clearance | None = None) -> dict[str, int]:
    """Return how many of the canary's rows are seen per table in the current context, by raw SQL."""
    with reading(clearance) if clearance else nullcontext(), connection.cursor() as cursor:
        found = {}
        for table in tables:
            cursor.execute(
                f"SELECT count(*) FROM {table} WHERE id = %s",  # noqa: S608 - names of our tables
                [CANARY_DOCUMENT],
            )
            (found[table],) = cursor.fetchone()
        return found
