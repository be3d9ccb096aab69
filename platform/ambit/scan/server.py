"""Ask a Postgres that answers: a checkpoint, what its statistics hold, and the names of its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from ambit.scan.patterns import Patterns

TIMEOUT_S = 5
_DATABASES = "SELECT datname, oid FROM pg_database WHERE datallowconn ORDER BY datname"
_STATISTICS: LiteralString = """
SELECT starelid::regclass::text, shown.number, shown.held
FROM pg_statistic, LATERAL (VALUES
    (1, stavalues1::text), (2, stavalues2::text), (3, stavalues3::text),
    (4, stavalues4::text), (5, stavalues5::text)
) AS shown (number, held)
WHERE shown.held IS NOT NULL
UNION ALL
SELECT 'extended statistics', 0, items.values::text
FROM pg_statistic_ext_data, LATERAL pg_mcv_list_items(stxdmcv) AS items
UNION ALL
SELECT 'extended statistics', 0, expression::text
FROM pg_statistic_ext_data, unnest(stxdexpr) AS expression
"""
_RELATIONS = """
SELECT pg_relation_filenode(oid), relname, relkind, relisshared
FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL
"""


class ServerSilent(Exception):
    """The database cannot be asked; the text says why, in words without any content."""


@dataclass(slots=True)
class Answer:
    """What the server said."""

    has_checkpointed: bool = False
    # (canary, relation, form) -> how often.
    found: dict[tuple[int, str, str], int] = field(default_factory=dict)
    # "base/5/16384" -> name of the relation.
    relations: dict[str, str] = field(default_factory=dict)
    n_statistics: int = 0


def ask(conninfo: str | None, patterns: Patterns) -> Answer:
    """Have everything written out and search the statistics of every database; raise ServerSilent."""
    if conninfo is None:
        raise ServerSilent("it was not to be asked")
    answer = Answer()
    with _connected(conninfo) as connection:
        answer.has_checkpointed = _checkpoint(connection)
        databases = connection.execute(_DATABASES).fetchall()
    for name, oid in databases:
        with _connected(conninfo, dbname=str(name)) as connection:
            _ask_one(connection, oid, patterns, answer)
    return answer


@contextmanager
def _connected(
    conninfo: str, *, dbname: str | None = None
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    more = {"dbname": dbname} if dbname else {}
    try:
        wanted = make_conninfo(
            conninfo,
            connect_timeout=TIMEOUT_S,
            client_encoding="UTF8",
            application_name="ambit scan_bytes",
            **more,
        )
        with psycopg.connect(wanted, autocommit=True) as connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege:
        raise ServerSilent("this login may not read pg_statistic: give a superuser's") from None
    except psycopg.OperationalError:
        raise ServerSilent("the server does not answer, or refuses the login") from None
    except psycopg.Error as error:
        raise ServerSilent(f"the server refuses a question ({error.sqlstate})") from None


def _checkpoint(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Write out what is in memory only; say whether this login may."""
    try:
        connection.execute("CHECKPOINT")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _ask_one(
    connection: psycopg.Connection[tuple[object, ...]],
    oid: object,
    patterns: Patterns,
    answer: Answer,
) -> None:
    for filenode, name, kind, is_shared in connection.execute(_RELATIONS).fetchall():
        place = f"global/{filenode}" if is_shared else f"base/{oid}/{filenode}"
        answer.relations[place] = f"{name} ({_KINDS.get(str(kind), kind)})"
    with connection.transaction(), connection.cursor(name="statistics") as cursor:
        cursor.itersize = 200
        for relation, _, held in cursor.execute(_STATISTICS):
            answer.n_statistics += 1
            _search(str(relation), str(held), patterns, answer)


_KINDS = {"r": "table", "t": "TOAST", "i": "index", "m": "materialized view", "S": "sequence"}


def _search(relation: str, held: str, patterns: Patterns, answer: Answer) -> None:
    # As it is shown, and without the marks that an array puts before quotes.
    seen = {
        (canary, form)
        for text in {held, held.replace("\\", "")}
        for hit in patterns.find(text.encode())
        for canary, form in hit.whose
    }
    for canary, form in seen:
        key = (canary, relation, form)
        answer.found[key] = answer.found.get(key, 0) + 1
