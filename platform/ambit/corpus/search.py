"""The one door to passage text. NEVER returns text without a Clearance.

Both legs run under the clearance's audiences in one statement: the visible vectors and the visible
words; ranks are fused reciprocally (Cormack, Clarke, Büttcher, SIGIR 2009), the vectors' with less weight
where these scarcely tell the nearest from the others. Vectors are scanned, which
is exact, or where a big tenant's graph is quicker, found along it and scanned after all when it comes
up short. Words are scanned and scored by BM25, each weighing as much as it is rare (the idf of Robertson
and Spärck Jones, JASIS 1976) in a sample of what the caller sees. Nothing in a score depends on a row
the caller cannot see, but for what a walk along the tenant's own graph can miss.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection

from ambit.corpus.filters import conditions_on_documents
from ambit.corpus.lexemes import words_asked
from ambit.corpus.queries import reading
from ambit.corpus.types import UNFILTERED, WORD_DIMENSIONS, Clearance, Filters, Mode, Passage
from ambit.corpus.vault import open_vault
from tenants.scope import current_tenant_id
from tenants.statements import run_prepared

# Reciprocal rank fusion: score = weight / (RRF_K + rank), summed over the legs.
RRF_K = 10
TEXT_WEIGHT = 0.5
# A model that does not know the question's language finds everything about equally near. The vectors'
# weight falls from 1 where the nearest is closer than the fiftieth by less than this (cosine).
TRUSTED_SPREAD, TRUSTED_ROWS, LEAST_TRUST = 0.25, 50, 0.1
MAX_K = 100
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
    SELECT ('{{' || string_agg(stem || ':' || weight, ',') || '}}/' || %(dimensions)s)::sparsevec AS words
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
_NO_NEAR, _NO_SAID = (
    f"{leg} AS (SELECT NULL::uuid AS id, NULL::uuid AS document_id, NULL::float8 AS {by} WHERE false)"
    for leg, by in [("near", "distance"), ("said", "weight")]
)
_FUSED = """
near_ranked AS (
    -- With its document: row-level security drops what was hidden a moment ago.
    SELECT n.id, row_number() OVER (ORDER BY n.distance, n.id) AS place
    FROM near n, LATERAL (
        SELECT FROM corpus_document d
        WHERE d.tenant_id = %(tenant)s AND d.id = n.document_id OFFSET 0
    ) visible
), said_ranked AS (
    SELECT s.id, row_number() OVER (ORDER BY s.weight DESC, s.id) AS place
    FROM said s, LATERAL (
        SELECT FROM corpus_document d
        WHERE d.tenant_id = %(tenant)s AND d.id = s.document_id OFFSET 0
    ) visible
), telling_apart AS (
    SELECT CASE WHEN count(*) < %(trusted_rows)s THEN 1 ELSE greatest(%(least_trust)s, least(1,
               power((max(distance) - min(distance)) / %(trusted_spread)s, 3))) END AS weight
    FROM (SELECT distance FROM near ORDER BY distance LIMIT %(trusted_rows)s) AS nearest
), fused AS (
    SELECT coalesce(n.id, s.id) AS id,
           coalesce((SELECT weight FROM telling_apart) / (%(rrf_k)s + n.place), 0)
           + coalesce(%(text_weight)s / (%(rrf_k)s + s.place), 0) AS score
    FROM near_ranked n FULL JOIN said_ranked s ON s.id = n.id
    ORDER BY score DESC, id LIMIT %(k)s
), dropped AS (
    SELECT (SELECT count(*) FROM near) + (SELECT count(*) FROM said)
         - (SELECT count(*) FROM near_ranked) - (SELECT count(*) FROM said_ranked) AS n
)
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
ORDER BY f.score DESC, f.id
"""
_VISIBLE = """AND document_id IN (
    SELECT id FROM corpus_document WHERE tenant_id = %(tenant)s {conditions})"""


def search(
    *,
    clearance: Clearance,
    query: str,
    embedding: Sequence[float] | None,
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
        "depth": max(50, 4 * k) if words else k + k // 2,
        "rrf_k": RRF_K,
        "text_weight": TEXT_WEIGHT,
        "trusted_spread": TRUSTED_SPREAD,
        "trusted_rows": TRUSTED_ROWS,
        "least_trust": LEAST_TRUST,
    }
    legs = [_NO_NEAR if embedding is None else _NEAR, _SAID if words else _NO_SAID]
    statement = f"WITH {','.join(legs)}, {_FUSED}"
    with reading(clearance):
        if embedding is None and not words:
            return []
        return [_passage(row) for row in _found(statement, values, filters)]


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
