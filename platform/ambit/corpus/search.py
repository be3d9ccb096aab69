"""The one door to passage text. NEVER returns text without a Clearance.

Both legs run under the clearance's audiences in one statement: the visible vectors and the visible
words. What they say is added (a convex combination: Bruch, Gai, Ingber, TOIS 2023), counted from each leg's
fiftieth up, and weighs as much as the leg tells its best from that. Vectors are scanned, which is exact, or
where a big tenant's graph is quicker, found along it and scanned after all when it comes up short. Words are
scanned and scored by BM25, each weighing as much as it is rare (the idf of Robertson and Spärck Jones, JASIS
1976) in a sample of what the caller sees. Nothing in a score depends on a row the caller cannot see, but for
what a walk along the tenant's own graph can miss.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection

from ambit.corpus.filters import conditions_on_documents
from ambit.corpus.lexemes import MOST_OF_A_WORD, words_asked
from ambit.corpus.queries import reading
from ambit.corpus.types import (
    UNFILTERED,
    WORD_DIMENSIONS,
    Clearance,
    Embedding,
    Filters,
    Mode,
    Passage,
)
from ambit.corpus.vault import open_vault
from tenants.scope import current_tenant_id
from tenants.statements import run_prepared

# As many of each leg are fused however many are asked for: asking for more changes nothing about what comes first.
MAX_K = FUSED_ROWS = 50
# A model that does not know the question's language finds everything about equally near: the vectors weigh 1 where
# the nearest of these is closer than the farthest by this (cosine), and fall with its square. NEVER more than 1:
# a passage that alone has the identifier asked for must not be lost behind what is near.
TRUSTED_SPREAD = 0.26
# Words weigh less where even the best passage has less than this share of what the rarest word could give: what
# nearly all passages say tells none from the others.
TRUSTED_WEIGHT = 0.2
SAMPLED_AUDIENCES, SAMPLED_ROWS = 20, 500

# OFFSET 0 keeps the planner, who cannot know how few rows are looked up, from reading all of the tenant's.
_NEAR = """
walked AS MATERIALIZED (
    SELECT id, document_id, distance
    FROM nearest_along_graph(%(vector)s::halfvec, %(depth)s::int, %(exact_rows)s::int)
    WHERE %(walks)s
), scanned AS MATERIALIZED (
    -- The sum keeps the planner from a graph, which could leave visible rows out.
    SELECT id, document_id, (embedding <=> %(vector)s::halfvec) + 0 AS distance
    FROM corpus_chunkvector
    WHERE tenant_id = %(tenant)s AND NOT EXISTS (SELECT FROM walked) {within}
    ORDER BY distance, id LIMIT %(depth)s
), near AS MATERIALIZED (
    SELECT * FROM walked UNION ALL SELECT * FROM scanned
)
"""
_SAID = """
audiences AS MATERIALIZED (
    -- Those with a passage to see: a hidden one must not change which others are sampled.
    SELECT a.id, row_number() OVER (ORDER BY a.id) - 1 AS place, count(*) OVER () AS n
    FROM unnest(current_setting('ambit.audience_ids')::uuid[]) AS a (id), LATERAL (
        SELECT FROM corpus_document d
        WHERE d.tenant_id = %(tenant)s AND d.audience_id = a.id
          AND d.hidden_at IS NULL AND d.current_version_id IS NOT NULL
        ORDER BY uuid_hash_extended(d.id, 0) LIMIT 1
    ) visible
), sampled AS MATERIALIZED (
    -- Evenly spaced.
    SELECT id, ceil(%(sampled_rows)s::float8 / least(%(sampled_audiences)s, n)) AS n_rows FROM audiences
    WHERE place * least(%(sampled_audiences)s, n) %% n < least(%(sampled_audiences)s, n)
), sample AS MATERIALIZED (
    -- In the order of a hash: as they come, the oldest would speak for all.
    SELECT taken.words FROM sampled a, LATERAL (
        SELECT id, count(*) OVER () AS n FROM (
            SELECT d.id FROM corpus_document d
            WHERE d.tenant_id = %(tenant)s AND d.audience_id = a.id
              AND d.hidden_at IS NULL AND d.current_version_id IS NOT NULL
            ORDER BY uuid_hash_extended(d.id, 0) LIMIT a.n_rows
        ) in_order
    ) document, LATERAL (
        SELECT l.words FROM corpus_chunklexemes l
        WHERE l.tenant_id = %(tenant)s AND l.document_id = document.id
        ORDER BY uuid_hash_extended(l.id, 0) LIMIT ceil(a.n_rows / document.n)
    ) taken
), asked AS MATERIALIZED (
    SELECT word, array_agg(stem) AS stems,
           ('{{' || string_agg(DISTINCT stem || ':1', ',') || '}}/' || %(dimensions)s)::sparsevec AS each_once
    FROM unnest(%(places)s::int[], %(stems)s::int[]) AS of_a_word (word, stem)
    GROUP BY word
), weighed AS MATERIALIZED (
    SELECT stems, ln(1 + (n_sampled - n + 0.5) / (n + 0.5)) AS weight
    FROM asked, LATERAL (
        SELECT count(*) FILTER (WHERE words <#> each_once < 0)::float8 AS n,
               count(*)::float8 AS n_sampled
        FROM sample
    ) counted
), question AS MATERIALIZED (
    SELECT ('{{' || string_agg(stem || ':' || weight, ',') || '}}/' || %(dimensions)s)::sparsevec AS words,
           %(most_of_a_word)s * (SELECT ln(1 + (count(*) + 0.5) / 0.5) FROM sample) AS rarest
    FROM (SELECT stem, max(weight) AS weight FROM weighed, unnest(stems) AS stem GROUP BY stem) each
), said AS MATERIALIZED (
    SELECT * FROM (
        SELECT id, document_id, -(words <#> (SELECT words FROM question)) AS weight
        FROM corpus_chunklexemes
        WHERE tenant_id = %(tenant)s {within}
        ORDER BY weight DESC, id LIMIT %(depth)s
    ) best
    WHERE weight > 0
)
"""
# With its document: row-level security drops what was hidden a moment ago.
_SEEN = """
{leg}_seen AS (
    SELECT l.* FROM {leg} l, LATERAL (
        SELECT FROM corpus_document d
        WHERE d.tenant_id = %(tenant)s AND d.id = l.document_id OFFSET 0
    ) visible
)
"""
_NEAR_ALONE = """
fused AS (
    SELECT id, 1 - distance AS score, distance FROM near_seen ORDER BY distance, id LIMIT %(k)s
),
dropped AS (SELECT (SELECT count(*) FROM near) - (SELECT count(*) FROM near_seen) AS n)
"""
_SAID_ALONE = """
fused AS (
    SELECT id, weight AS score, NULL::float8 AS distance FROM said_seen ORDER BY score DESC, id LIMIT %(k)s
),
dropped AS (SELECT (SELECT count(*) FROM said) - (SELECT count(*) FROM said_seen) AS n)
"""
_FUSED = """
near_measured AS (
    SELECT max(distance) AS zero, greatest(max(distance) - min(distance), 1e-9) AS spread,
           least(1, power((max(distance) - min(distance)) / %(trusted_spread)s, 2)) AS trust
    FROM near_seen
), said_measured AS (
    SELECT CASE WHEN count(*) < %(depth)s THEN 0 ELSE min(weight) END AS zero, max(weight) AS best,
           least(1, max(weight) / (%(trusted_weight)s * (SELECT rarest FROM question))) AS trust
    FROM said_seen
), fused AS (
    SELECT coalesce(n.id, s.id) AS id,
           coalesce(nm.trust * (nm.zero - n.distance) / nm.spread, 0)
           + coalesce(sm.trust * (s.weight - sm.zero) / sm.best, 0) AS score,
           n.distance
    FROM near_seen n FULL JOIN said_seen s ON s.id = n.id, near_measured nm, said_measured sm
    ORDER BY score DESC, n.distance, id LIMIT %(k)s
), dropped AS (
    SELECT (SELECT count(*) FROM near) + (SELECT count(*) FROM said)
         - (SELECT count(*) FROM near_seen) - (SELECT count(*) FROM said_seen) AS n
)
"""
_OPENED = """
SELECT f.score, 1 - (v.embedding <=> %(vector)s::halfvec), c.id, c.document_id, c.version_id,
       ver.number, d.collection_id, d.title_sealed, c.body_sealed, k.wrapped,
       c.page_first, c.page_last, c.char_start, c.char_end,
       (SELECT n FROM dropped)
FROM fused f,
LATERAL (SELECT * FROM corpus_chunk WHERE tenant_id = %(tenant)s AND id = f.id OFFSET 0) c,
LATERAL (SELECT embedding FROM corpus_chunkvector won
         WHERE tenant_id = %(tenant)s AND id = f.id OFFSET 0) v,
LATERAL (SELECT collection_id, title_sealed FROM corpus_document
         WHERE tenant_id = %(tenant)s AND id = c.document_id OFFSET 0) d,
LATERAL (SELECT wrapped FROM corpus_documentkey
         WHERE tenant_id = %(tenant)s AND document_id = c.document_id OFFSET 0) k,
LATERAL (SELECT number FROM corpus_version
         WHERE tenant_id = %(tenant)s AND id = c.version_id OFFSET 0) ver
ORDER BY f.score DESC, f.distance, f.id
"""
_VISIBLE = """AND document_id IN (
    SELECT id FROM corpus_document WHERE tenant_id = %(tenant)s {conditions})"""


def search(
    *,
    clearance: Clearance,
    query: str,
    embedding: Embedding | None,
    k: int,
    mode: Mode = "hybrid",
    filters: Filters = UNFILTERED,
) -> list[Passage]:
    """Return the best k passages among exactly those the clearance reaches, best first.

    embedding: the query's vector; without it, passages are found by words alone. An empty clearance, a
    filter with nothing to choose from, or a query of neither, returns nothing. Raises WrongClearance in
    another tenant's scope.
    """
    if mode == "text":
        embedding = None
    if not clearance.audience_ids or filters.admit_nothing or not 1 <= k <= MAX_K:
        return []
    words = words_asked(query) if mode != "vector" else []
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "vector": None
        if embedding is None
        else json.dumps(np.asarray(embedding, dtype=np.float16).tolist()),
        "places": [place for place, stems in enumerate(words) for _ in stems],
        "stems": [stem + 1 for stems in words for stem in stems],
        "dimensions": WORD_DIMENSIONS,
        "sampled_audiences": SAMPLED_AUDIENCES,
        "sampled_rows": SAMPLED_ROWS,
        "exact_rows": settings.AMBIT_EXACT_ROWS,
        "k": k,
        "depth": FUSED_ROWS if words and embedding is not None else k + k // 2,
        "trusted_spread": TRUSTED_SPREAD,
        "trusted_weight": TRUSTED_WEIGHT,
        "most_of_a_word": MOST_OF_A_WORD,
    }
    with reading(clearance):
        if embedding is None and not words:
            return []
        statement = _statement(by_vector=embedding is not None, by_words=bool(words))
        return [_passage(row) for row in _found(statement, values, filters)]


def _statement(*, by_vector: bool, by_words: bool) -> str:
    near, said = [_NEAR, _SEEN.format(leg="near")], [_SAID, _SEEN.format(leg="said")]
    if not by_words:
        parts = [*near, _NEAR_ALONE]
    elif not by_vector:
        parts = [*said, _SAID_ALONE]
    else:
        parts = [*near, *said, _FUSED]
    return f"WITH {','.join(parts)} {_OPENED}"


def _found(statement: str, values: dict[str, Any], filters: Filters) -> list[tuple[Any, ...]]:
    conditions, more = conditions_on_documents(filters)
    visible = _VISIBLE.format(conditions=conditions)
    if filters != UNFILTERED:
        return _run_once(statement.format(within=visible), {**values, **more, "walks": False})
    rows = run_prepared(statement.format(within=""), {**values, "walks": True})
    if not rows or rows[0][-1] > 0:
        # Something among the nearest is being hidden: ask again among what is visible.
        return run_prepared(statement.format(within=visible), {**values, "walks": False})
    return rows


def _run_once(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of which there are too many forms for a connection to keep."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _passage(row: tuple[Any, ...]) -> Passage:
    (
        score, similarity, chunk_id, document_id, version_id, number, collection_id, title, body,
        wrapped, page_first, page_last, char_start, char_end, *_,
    ) = row  # fmt: skip
    vault = open_vault(document_id=document_id, wrapped=bytes(wrapped))
    opened = vault.open_chunk(bytes(body), chunk_id=chunk_id)
    return Passage(
        chunk_id=chunk_id,
        document_id=document_id,
        version_id=version_id,
        version=number,
        collection_id=collection_id,
        title=vault.open(bytes(title), object_id=document_id, name="title"),
        section=opened["section"],
        text=opened["text"],
        page_first=page_first,
        page_last=page_last,
        char_start=char_start,
        char_end=char_end,
        score=float(score),
        similarity=float(similarity) if similarity is not None else None,
    )
