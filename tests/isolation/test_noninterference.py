"""What a tenant is told, and the work it takes, is the same whatever its neighbours hold.

One tenant, A, repeats the same actions while the world beside it changes: B absent; B with near
duplicates of A's own vectors and words; B being filled at that moment; B just erased. Everything A is
told is compared byte by byte (request ids and the ids of new answers apart), and the rows that A's
statements read are counted by Postgres itself. The same then inside a tenant: a reader without a grant
is told the same bytes whether a hidden document exists or not.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection

from ambit.access.types import GrantSpec, PrincipalRef
from ambit.config.runtime.supervisor import Stack
from ambit.corpus import search as search_module
from ambit.corpus.graphs import walking
from tenants.ids import public_id
from tests.cast import Cast, Person, Place, make_cast, publish
from tests.database.private import PrivateDatabase

N_COPIES = 4_000
HELD = ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes")
TOPICS = ("harbor dues", "night shift", "visitor badge")
# What a request says of itself, not of anything stored.
_OF_THE_REQUEST = re.compile(rb'"(request_id|answer_id)": ?"[^"]*"|"id": ?"ans_[0-9a-f]{32}"')
_COPY = """
INSERT INTO {table} SELECT (jsonb_populate_record(b, to_jsonb(ids))).*
FROM {table} b, ids WHERE b.id = %s
"""
_NEAR = """
UPDATE corpus_chunkvector v SET embedding = a.embedding
FROM (SELECT embedding, row_number() OVER () - 1 AS n FROM corpus_chunkvector WHERE tenant_id = %s) a
WHERE v.tenant_id = %s AND a.n = abs(hashtext(v.id::text)) %% %s
"""
_SAME_WORDS = """
UPDATE corpus_chunklexemes v SET lexemes = a.lexemes
FROM (SELECT lexemes, row_number() OVER () - 1 AS n FROM corpus_chunklexemes WHERE tenant_id = %s) a
WHERE v.tenant_id = %s AND a.n = abs(hashtext(v.id::text)) %% %s
"""


@dataclass(frozen=True, slots=True)
class Town:
    """A, which is watched, and B, which changes."""

    cast: Cast
    documents: tuple[UUID, ...]
    n_rows: int

    def actions(self) -> list[Callable[[], Any]]:
        """Return what A does, each time the same."""
        adam = self.cast.adam
        return [
            *self.readers_actions(),
            lambda: adam.get("/v1/documents", {"as": "custodian"}),
            lambda: adam.get("/v1/members"),
        ]

    def readers_actions(self) -> list[Callable[[], Any]]:
        """Return what a reader of A does, each time the same."""
        bob = self.cast.bob
        first = public_id("document", self.documents[0])
        gone = public_id("document", UUID(int=self.documents[0].int + 1))
        searches = [
            {"query": topic, "k": k, "mode": mode}
            for topic in TOPICS
            for k, mode in ((2, "hybrid"), (50, "hybrid"), (2, "vector"), (50, "text"))
        ]
        return [
            *(lambda body=body: bob.post("/v1/search", body) for body in searches),
            *(lambda t=t: bob.post("/v1/answers", {"question": f"{t}?"}) for t in TOPICS),
            lambda: bob.get("/v1/documents", {"limit": 2}),
            lambda: bob.get("/v1/documents", {"cursor": _cursor(bob)}),
            lambda: bob.get(f"/v1/documents/{first}"),
            lambda: bob.get(f"/v1/documents/{first}/content", {"as": "text"}),
            lambda: bob.get(f"/v1/documents/{gone}"),
            lambda: bob.get("/v1/collections"),
            lambda: bob.get("/v1/members"),
        ]


def _cursor(person: Person) -> str:
    found = person.get("/v1/documents", {"limit": 2}).json()["next"]
    assert found, "A has more than one page"
    return str(found)


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
    """Return A with a document for each topic, beside an empty B, in a database of their own."""
    with private.in_use(), _as_if_big(private):
        cast = make_cast()
        documents = tuple(
            publish(cast.alice, cast.here, text=f"All about {topic}. {n} things to know.")
            for n, topic in enumerate(TOPICS)
        )
        town = Town(cast, documents, len(documents))
        with private.superuser() as superuser:
            # A third tenant's, so that the tables are no trifle in any of the worlds.
            elsewhere = make_cast()
            ballast = publish(elsewhere.mallory, elsewhere.there, text="All about nothing.")
            _copy(superuser, ballast, n=N_COPIES)
        yield town


@contextmanager
def _as_if_big(private: PrivateDatabase) -> Iterator[None]:
    """Have no table read whole because it fits on a page: none that matters does."""
    with private.superuser() as superuser:
        superuser.execute("ALTER ROLE ambit_app SET enable_seqscan = off")
        yield
        superuser.execute("ALTER ROLE ambit_app RESET enable_seqscan")


def _fill(superuser: psycopg.Connection, town: Town, document: UUID, *, n: int) -> None:
    """Give B near duplicates of all that A holds: the same vectors, and A's own hashes of its words."""
    with superuser.transaction():
        _copy(superuser, document, n=n)
        for statement in (_NEAR, _SAME_WORDS):
            superuser.execute(
                statement.encode(), [town.cast.here.id, town.cast.there.id, town.n_rows]
            )


def _copy(superuser: psycopg.Connection, document: UUID, *, n: int) -> None:
    with superuser.transaction():
        superuser.execute(
            "CREATE TEMP TABLE ids ON COMMIT DROP AS SELECT gen_random_uuid() AS id,"
            " last + g AS ordinal FROM generate_series(1, %s) g, (SELECT max(ordinal) AS last"
            " FROM corpus_chunk WHERE document_id = %s)",
            [n, document],
        )
        first = superuser.execute(
            "SELECT id FROM corpus_chunk WHERE document_id = %s AND ordinal = 0", [document]
        ).fetchone()
        assert first is not None
        for table in HELD:
            superuser.execute(_COPY.format(table=table).encode(), first)


def _neighbour(town: Town) -> UUID:
    return publish(town.cast.mallory, town.cast.there, text="All about harbor dues.")


def test_nothing_that_a_tenant_is_told_depends_on_its_neighbours(
    private: PrivateDatabase, town: Town
) -> None:
    actions = town.actions()
    _transcript(actions)
    with _counting(private) as reads_alone:
        alone = _transcript(actions)

    document = _neighbour(town)
    with private.superuser() as superuser:
        _fill(superuser, town, document, n=N_COPIES)
        with _counting(private) as reads_beside:
            beside = _transcript(actions)
        with _filling(private, town, document):
            during = _transcript(actions)
        superuser.execute("ANALYZE")
        analyzed = _transcript(actions)
        _empty(superuser, town.cast.there)
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
    document = _neighbour(town)

    with private.superuser() as superuser, _sharing(superuser, monkeypatch):
        _fill(superuser, town, document, n=N_COPIES)
        beside = _transcript(actions)

    assert beside != alone


@contextmanager
def _sharing(superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plant one graph over everybody's vectors, and walk it."""

    def walk(values: dict[str, Any]) -> list[tuple[Any, ...]] | None:
        if values["vector"] is None:
            return None
        with walking(depth=values["depth"]), connection.cursor() as cursor:
            cursor.execute("SET LOCAL hnsw.iterative_scan = off")
            return search_module._run(values, near=search_module._WALKED)

    superuser.execute(
        "CREATE INDEX planted ON corpus_chunkvector USING hnsw (embedding halfvec_cosine_ops)"
    )
    monkeypatch.setattr(search_module, "_walk", walk)
    try:
        yield
    finally:
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


@contextmanager
def _filling(private: PrivateDatabase, town: Town, document: UUID) -> Iterator[None]:
    """Fill B further and further while the block runs."""
    over = threading.Event()
    rounds: list[int] = []

    def fill() -> None:
        with private.superuser() as superuser:
            while not over.is_set():
                _fill(superuser, town, document, n=200)
                rounds.append(1)

    filler = threading.Thread(target=fill)
    filler.start()
    try:
        yield
    finally:
        over.set()
        filler.join()
    assert rounds, "B was being filled meanwhile"


def _empty(superuser: psycopg.Connection, place: Place) -> None:
    for table in reversed(HELD):
        statement = f"DELETE FROM {table} WHERE tenant_id = %s"  # noqa: S608 - one of the three
        superuser.execute(statement.encode(), [place.id])
