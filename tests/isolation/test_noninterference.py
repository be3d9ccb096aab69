"""What a tenant is told, and the work it takes, is the same whatever its neighbours hold.

One tenant, A, repeats the same actions while the world beside it changes: B absent; B with near
duplicates of A's own vectors and words; B being filled at that moment; B just erased. Everything A is
told is compared byte by byte (request ids and the ids of new answers apart), and the rows that A's
statements read are counted by Postgres itself. The same then inside a tenant: a reader without a grant
is told the same bytes whether a hidden document exists or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection

from ambit.access.types import GrantSpec, PrincipalRef
from ambit.config.runtime.supervisor import Stack
from ambit.corpus import search as search_module
from tests.cast import publish
from tests.database.private import PrivateDatabase
from tests.isolation.town import N_COPIES, TOPICS, Town, empty, fill, filling, neighbour, town_in

# What a request says of itself, not of anything stored.
_OF_THE_REQUEST = re.compile(rb'"(request_id|answer_id)": ?"[^"]*"|"id": ?"ans_[0-9a-f]{32}"')
# The fault: a walk along one graph for all tenants, which ends among the neighbours' rows.
_SHARED = """
CREATE OR REPLACE FUNCTION nearest_along_graph(query halfvec, depth int, exact_rows int)
RETURNS TABLE (id uuid, document_id uuid, distance float8)
LANGUAGE plpgsql STABLE STRICT SET enable_sort = off AS $$
BEGIN
    PERFORM set_config('hnsw.iterative_scan', 'off', true);
    RETURN QUERY SELECT v.id, v.document_id, v.embedding <=> query FROM corpus_chunkvector v
                 WHERE v.tenant_id = current_setting('ambit.tenant_id')::uuid
                 ORDER BY v.embedding <=> query LIMIT depth;
END
$$
"""


def _transcript(actions: list[Callable[[], Any]]) -> list[bytes]:
    told = []
    for action in actions:
        answer = action()
        body = b"".join(answer) if answer.streaming else answer.content
        told.append(b"%d %s" % (answer.status_code, _OF_THE_REQUEST.sub(b"", body)))
    return told


@contextmanager
def _counting(private: PrivateDatabase) -> Iterator[dict[str, int]]:
    """Count the rows that statements of the application read, from Postgres' own statistics."""
    counts: dict[str, int] = {}
    before = _reads(private)
    yield counts
    after = _reads(private)
    counts.update({table: after[table] - before[table] for table in after})


def _reads(private: PrivateDatabase) -> dict[str, int]:
    connection.close()
    with private.superuser() as superuser:
        superuser.execute("SELECT pg_stat_force_next_flush()")
        rows = superuser.execute(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
            " WHERE relname LIKE 'corpus_%' OR relname LIKE 'access_%'"
        ).fetchall()
        return {str(name): int(n) for name, n in rows}


@pytest.fixture
def town(private: PrivateDatabase, embeddings: Stack) -> Iterator[Town]:
    """Return A beside an empty B."""
    with town_in(private) as town:
        yield town


def test_nothing_that_a_tenant_is_told_depends_on_its_neighbours(
    private: PrivateDatabase, town: Town
) -> None:
    actions = town.actions()
    _transcript(actions)
    with _counting(private) as reads_alone:
        alone = _transcript(actions)

    document = neighbour(town)
    with private.superuser() as superuser:
        fill(superuser, town, document, n=N_COPIES)
        with _counting(private) as reads_beside:
            beside = _transcript(actions)
        with filling(private, town, document):
            during = _transcript(actions)
        superuser.execute("ANALYZE")
        analyzed = _transcript(actions)
        empty(superuser, town.cast.there)
        after = _transcript(actions)

    for world in (beside, during, analyzed, after):
        assert world == alone
    legs = [t for t in reads_alone if t.startswith("access_") or t == "corpus_chunklexemes"]
    assert {t: reads_beside[t] for t in legs} == {t: reads_alone[t] for t in legs}
    # The planner may join the winners in another order, among A's own rows: nothing like B's thousands.
    assert all(n <= 3 * reads_alone[t] + 100 for t, n in reads_beside.items())
    assert b"harbor" in alone[0], "A is told something"


def test_a_graph_that_tenants_share_is_seen_by_this_test(
    private: PrivateDatabase, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = town.actions()
    alone = _transcript(actions)
    document = neighbour(town)
    # With the scan after a graph that came up short, even this fault would stay without effect.
    careless = search_module._NEAR.replace("NOT EXISTS (SELECT FROM walked)", "NOT %(walks)s")
    assert careless != search_module._NEAR
    monkeypatch.setattr(search_module, "_NEAR", careless)

    with private.superuser() as superuser, _sharing(superuser):
        fill(superuser, town, document, n=N_COPIES)
        beside = _transcript(actions)

    assert beside != alone


@contextmanager
def _sharing(superuser: psycopg.Connection) -> Iterator[None]:
    """Plant one graph over everybody's vectors, and walk it."""
    right = superuser.execute(
        "SELECT pg_get_functiondef('nearest_along_graph'::regproc)"
    ).fetchone()
    assert right is not None
    superuser.execute(
        "CREATE INDEX planted ON corpus_chunkvector USING hnsw (embedding halfvec_cosine_ops)"
    )
    superuser.execute(_SHARED)
    try:
        yield
    finally:
        superuser.execute(right[0])
        superuser.execute("DROP INDEX planted")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_without_a_grant_a_hidden_document_is_as_one_that_does_not_exist(
    town: Town, language: str
) -> None:
    cast = town.cast
    actions = [
        *town.readers_actions(),
        *(
            lambda topic=topic: cast.bob.post("/v1/search", {"query": f"{topic} secret", "k": 50})
            for topic in TOPICS
        ),
    ]
    before = _transcript(actions)

    hidden = {
        "collection": cast.here.collection,
        "title": "Secret",
        "text": "All about the harbor dues secret.",
        "external_id": "secret",
        "grants": [{"principal": "member:alice", "role": "owner"}],
    }
    made = cast.alice.post("/v1/documents", hidden)
    assert made.status_code == 202
    publish(
        cast.alice,
        cast.here,
        text="All about the night shift secret.",
        grants=[GrantSpec(PrincipalRef(member_id=cast.alice.id), "owner")],
        language=language,
    )

    assert _transcript(actions) == before
    found, madeup = (
        cast.bob.get(f"/v1/documents/{i}") for i in (made.json()["id"], f"doc_{uuid4().hex}")
    )
    assert _transcript([lambda: found]) == _transcript([lambda: madeup])
