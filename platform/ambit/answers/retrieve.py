"""Step 2 of 5. Fetch the passages that bear on a question, among those the clearance reaches."""

from __future__ import annotations

from collections.abc import Sequence

from ambit.corpus.queries import visible_documents
from ambit.corpus.search import search
from ambit.corpus.types import UNFILTERED, Clearance, Filters, Passage


def retrieve(
    *,
    clearance: Clearance,
    question: str,
    embedding: Sequence[float],
    k: int,
    filters: Filters = UNFILTERED,
) -> list[Passage]:
    """Return up to k passages, best first; none where nothing is permitted."""
    return search(
        clearance=clearance,
        query=question,
        embedding=embedding,
        k=k,
        filters=filters,
    )


def still_visible(*, clearance: Clearance, passages: Sequence[Passage]) -> bool:
    """Say whether every passage's document is still within the clearance."""
    wanted = {p.document_id for p in passages}
    return wanted <= visible_documents(document_ids=wanted, clearance=clearance)
