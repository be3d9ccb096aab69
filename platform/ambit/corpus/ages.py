"""Which documents are older than they are to be kept: by their newest version, nothing of which is read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from ambit.corpus.models import Document, Version


def documents_received_before(
    moment: datetime, *, among: Iterable[UUID] | None = None
) -> QuerySet[Document, UUID]:
    """Return the ids of the documents whose newest version came before a moment, the oldest first, in custody.

    Not hidden ones, whatever hides them. among: of these alone.
    """
    newest = Version.objects.filter(pk=OuterRef("latest_version_id"), received_at__lt=moment)
    found = Document.objects.filter(Exists(newest), created_at__lt=moment, hidden_at__isnull=True)
    if among is not None:
        found = found.filter(pk__in=list(among))
    return found.order_by("pk").values_list("pk", flat=True)
