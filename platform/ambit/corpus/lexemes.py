"""Words as keyed hashes: Postgres stems them, Python hashes them, no index holds a plain word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from ambit.keys.sealing import keyed_hash
from tenants.scope import current_tenant_id

CONFIGURATION = "english"
HASH_HEX_DIGITS = 14
# Each word is looked for in each passage that any of them finds.
MAX_QUERY_WORDS = 64


def lexeme_vectors(texts: Sequence[str]) -> list[str]:
    """Return each text's words as a tsvector literal of keyed hashes with their positions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.n, w.lexeme, w.positions FROM unnest(%s::text[]) WITH ORDINALITY AS t (body, n),"
            " unnest(to_tsvector(%s::regconfig, t.body)) AS w ORDER BY t.n",
            [list(texts), CONFIGURATION],
        )
        rows = cursor.fetchall()
    hashes = _Hashes(current_tenant_id())
    words: defaultdict[int, list[str]] = defaultdict(list)
    for number, lexeme, positions in rows:
        places = ",".join(str(p) for p in positions or [])
        words[number].append(f"'{hashes[lexeme]}':{places}" if places else f"'{hashes[lexeme]}'")
    return [" ".join(words[n]) for n in range(1, len(texts) + 1)]


def lexeme_queries(text: str) -> list[str]:
    """Return a tsquery literal for each of the text's first words, as many as are worth their time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lexeme FROM unnest(to_tsvector(%s::regconfig, %s)) ORDER BY positions[1] LIMIT %s",
            [CONFIGURATION, text, MAX_QUERY_WORDS],
        )
        lexemes = [row[0] for row in cursor.fetchall()]
    hashes = _Hashes(current_tenant_id())
    return [f"'{hashes[lexeme]}'" for lexeme in lexemes]


class _Hashes(dict[str, str]):
    """Hashes of one tenant's words, each computed once."""

    def __init__(self, tenant_id: UUID) -> None:
        super().__init__()
        self.tenant_id = tenant_id

    def __missing__(self, lexeme: str) -> str:
        digest = keyed_hash(lexeme.encode(), tenant_id=self.tenant_id, purpose="lexeme")
        self[lexeme] = digest.hex()[:HASH_HEX_DIGITS]
        return self[lexeme]
