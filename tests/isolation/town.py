"""A town of tenants: A, which is watched, and what changes beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from tenants.ids import public_id
from tests.cast import Cast, Person, Place, make_cast, publish
from tests.database.private import PrivateDatabase

N_COPIES = 4_000
HELD = ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes")
TOPICS = ("harbor dues", "night shift", "visitor badge")
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
UPDATE corpus_chunklexemes v SET words = a.words
FROM (SELECT words, row_number() OVER () - 1 AS n FROM corpus_chunklexemes WHERE tenant_id = %s) a
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


@contextmanager
def town_in(private: PrivateDatabase) -> Iterator[Town]:
    """Make A with a document for each topic, beside an empty B, in a database of their own."""
    with private.in_use():
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
            copy(superuser, ballast, n=N_COPIES)
        yield town


def fill(superuser: psycopg.Connection, town: Town, document: UUID, *, n: int) -> None:
    """Give B near duplicates of all that A holds: the same vectors, and A's own hashes of its words."""
    with superuser.transaction():
        copy(superuser, document, n=n)
        for statement in (_NEAR, _SAME_WORDS):
            superuser.execute(
                statement.encode(), [town.cast.here.id, town.cast.there.id, town.n_rows]
            )


def copy(superuser: psycopg.Connection, document: UUID, *, n: int) -> None:
    """Give a document n more chunks like its first."""
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


def neighbour(town: Town) -> UUID:
    """Give B a document, of which fill() makes copies."""
    return publish(town.cast.mallory, town.cast.there, text="All about harbor dues.")


@contextmanager
def filling(private: PrivateDatabase, town: Town, document: UUID) -> Iterator[None]:
    """Fill B further and further while the block runs."""
    over = threading.Event()
    rounds: list[int] = []

    def go_on() -> None:
        with private.superuser() as superuser:
            while not over.is_set():
                fill(superuser, town, document, n=200)
                rounds.append(1)

    filler = threading.Thread(target=go_on)
    filler.start()
    try:
        yield
    finally:
        over.set()
        filler.join()
    assert rounds, "B was being filled meanwhile"


def empty(superuser: psycopg.Connection, place: Place, *, document: UUID | None = None) -> None:
    """Take from a tenant all that it holds, or what one document holds."""
    for table in reversed(HELD):
        statement = (
            f"DELETE FROM {table} WHERE tenant_id = %s AND document_id = coalesce(%s, document_id)"  # noqa: S608 - one of the three
        )
        superuser.execute(statement.encode(), [place.id, document])
