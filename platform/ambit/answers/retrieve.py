"""Step 2 of 5. Fetch the passages that bear on a question, among those the clearance reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ambit.answers.types import Route as Route
from ambit.corpus.queries import visible_documents
from ambit.corpus.search import MAX_K, search
from ambit.corpus.types import UNFILTERED, Clearance, Embedding, Filters, Passage

# Each is a search of its own.
MAX_ROUTES = 20


def retrieve(
    *,
    clearance: Clearance,
    question: str,
    embedding: Embedding | None,
    k: int,
    filters: Filters = UNFILTERED,
    routes: Sequence[Route] | None = None,
) -> list[Passage]:
    """Return up to k passages, best first; none where nothing is permitted.

    With routes k does not count: each route gives at most its own k, from its own collection, and all
    of them MAX_K. Without a route among them there is nowhere to look.
    """
    if routes is not None:
        return _along(
            routes, clearance=clearance, question=question, embedding=embedding, filters=filters
        )
    return search(
        clearance=clearance,
        query=question,
        embedding=embedding,
        k=k,
        filters=filters,
    )


def still_visible(
    *, clearance: Clearance, passages: Sequence[Passage], locking: bool = True
) -> bool:
    """Say whether every passage's document is still within the clearance; locking: and stays so until commit."""
    wanted = {p.document_id for p in passages}
    seen = visible_documents(document_ids=wanted, clearance=clearance, locking=locking)
    return wanted <= seen


def _along(
    routes: Sequence[Route],
    *,
    clearance: Clearance,
    question: str,
    embedding: Embedding | None,
    filters: Filters,
) -> list[Passage]:
    """Ask each route by itself under the one clearance, and merge what they give.

    Each is a filtered search, so that its k are the best of its collection and not what a search of
    all happened to leave for it.
    """
    if len(routes) > MAX_ROUTES:
        raise ValueError(f"{len(routes)} routes")
    chosen = filters.collection_ids
    given = [
        search(
            clearance=clearance,
            query=question,
            embedding=embedding,
            k=route.k,
            filters=replace(filters, collection_ids=(route.collection_id,)),
        )
        for route in routes
        if chosen is None or route.collection_id in chosen
    ]
    return _merged(given)


def _merged(given: Sequence[Sequence[Passage]]) -> list[Passage]:
    """Return the passages of several searches, each once, in the order in which they are trusted.

    The first of every search come before the second of any, so that no route is starved when the
    prompt has no room for all; among those of one rank the nearest to the question comes first. Scores
    cannot say: each is counted within its own search.
    """
    ranked = [(rank, p) for passages in given for rank, p in enumerate(passages)]
    ranked.sort(key=lambda found: (found[0], _distance(found[1])))
    return list({p.chunk_id: p for _, p in ranked}.values())[:MAX_K]


def _distance(passage: Passage) -> float:
    """Return how far it is from the question; what words alone found is farthest."""
    return 2.0 if passage.similarity is None else 1.0 - passage.similarity
