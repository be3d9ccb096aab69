"""Words as keyed hashes: Postgres stems them, Python hashes them, no index holds a plain word.

A document's words are stemmed by its own language. What a question is written in is not asked: each of
its words is looked for as any stem that any of the languages makes of it. These are the same for every
tenant and member, so that a question's words say nothing of what is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from uuid import UUID

from django.conf import settings
from django.db import connection

from ambit.corpus.languages import CONFIGURATIONS, SIMPLE, spaced
from ambit.keys.sealing import keyed_hash
from tenants.scope import current_tenant_id

HASH_HEX_DIGITS = 14
# Each word is looked for in each passage that any of them finds.
MAX_QUERY_WORDS = 64
# So much of a question is stemmed at all, in each language: what comes after 64 words is not looked for.
MAX_QUERY_TOKENS, MAX_QUERY_CHARACTERS = 256, 4000

# A language that this Postgres has no stemmer for is taken as it stands.
_INDEXED = """
SELECT t.n, w.lexeme, w.positions
FROM unnest(%s::text[]) WITH ORDINALITY AS t (body, n), unnest(to_tsvector(coalesce((
    SELECT oid FROM pg_ts_config
    WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = %s
), 'pg_catalog.simple'::regconfig)::regconfig, t.body)) AS w
ORDER BY t.n
"""
# In all configurations the same word has the same position.
_ASKED = """
SELECT place, lexeme, array_agg(cfgname::text)
FROM pg_ts_config, unnest(to_tsvector(oid::regconfig, %s)) AS w, unnest(w.positions) AS place
WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = ANY (%s)
GROUP BY place, lexeme ORDER BY place, lexeme
"""

# A Postgres may lack some of the languages; one that does not exist leaves out no word.
_EXISTING = """
SELECT cfgname::text FROM pg_ts_config
WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = ANY (%s)
"""


def lexeme_vectors(texts: Sequence[str], *, language: str) -> list[str]:
    """Return each text's words as a tsvector literal of keyed hashes with their positions."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INDEXED, [[spaced(text) for text in texts], _stemmers().get(language, SIMPLE)]
        )
        rows = cursor.fetchall()
    hashes = _Hashes(current_tenant_id())
    words: defaultdict[int, list[str]] = defaultdict(list)
    for number, lexeme, positions in rows:
        places = ",".join(str(p) for p in positions or [])
        words[number].append(f"'{hashes[lexeme]}':{places}" if places else f"'{hashes[lexeme]}'")
    return [" ".join(words[n]) for n in range(1, len(texts) + 1)]


def lexeme_queries(text: str) -> list[str]:
    """Return a tsquery literal for each of the text's first words, as many as are worth their time.

    A word is any of its stems: 'one' | 'other'.
    """
    with connection.cursor() as cursor:
        asked = " ".join(spaced(text).split()[:MAX_QUERY_TOKENS])[:MAX_QUERY_CHARACTERS]
        cursor.execute(_ASKED, [asked, [*_stemmers().values(), SIMPLE]])
        rows = cursor.fetchall()
        cursor.execute(_EXISTING, [list(_stemmers().values())])
        stemmers = {name for (name,) in cursor.fetchall()}
    stems: defaultdict[int, list[str]] = defaultdict(list)
    known_to: defaultdict[int, set[str]] = defaultdict(set)
    for place, lexeme, configurations in rows:
        stems[place].append(lexeme)
        known_to[place].update(configurations)
    dropped = _stop_words(known_to, stemmers)
    hashes = _Hashes(current_tenant_id())
    words = dict.fromkeys(tuple(found) for place, found in stems.items() if place not in dropped)
    return [
        " | ".join(f"'{hashes[lexeme]}'" for lexeme in word)
        for word in list(words)[:MAX_QUERY_WORDS]
    ]


def _stop_words(known_to: Mapping[int, Set[str]], stemmers: Set[str]) -> set[int]:
    """Return the places whose words say nothing in any language that the text is likely to be in.

    A language leaves its stop words out: the text is likely in the one that leaves out the most words,
    or one fewer. So `the` goes from `the cause of the war`, and `war`, which German leaves out, stays in `war in Iraq`.
    """
    left_out = {
        name: {place for place, names in known_to.items() if name not in names} for name in stemmers
    }
    most = max(map(len, left_out.values()), default=0)
    likely = [places for places in left_out.values() if len(places) >= most - 1]
    return set.intersection(*likely) if likely else set()


def _stemmers() -> dict[str, str]:
    """Return the configurations in use by language."""
    return {tag: CONFIGURATIONS[tag] for tag in sorted(settings.AMBIT_LANGUAGES)}


class _Hashes(dict[str, str]):
    """Hashes of one tenant's words, each computed once."""

    def __init__(self, tenant_id: UUID) -> None:
        super().__init__()
        self.tenant_id = tenant_id

    def __missing__(self, lexeme: str) -> str:
        digest = keyed_hash(lexeme.encode(), tenant_id=self.tenant_id, purpose="lexeme")
        self[lexeme] = digest.hex()[:HASH_HEX_DIGITS]
        return self[lexeme]
