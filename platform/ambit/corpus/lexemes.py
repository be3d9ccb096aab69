"""Words as a sparse vector: Postgres stems them, Python hashes them under a key, no table holds a plain word.

A stem's hash is its dimension; its value is what BM25 makes of how often it stands in a passage of that
length (Robertson and Zaragoza, FnTIR 2009). How rare a word is comes with the question: the inner product
of the two is the passage's BM25. The length that counts as usual is a constant, because an average would say
something of passages that the asker may not see.

A document's words are stemmed by its own language. What a question is written in is not asked: each of
its words is looked for as any stem that any of the languages makes of it. These are the same for every
tenant and member, so that a question's words say nothing of what is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import connection
from pgvector import SparseVector

from ambit.corpus.identifiers import spellings_of
from ambit.corpus.languages import CONFIGURATIONS, SIMPLE, spaced
from ambit.corpus.types import WORD_DIMENSIONS
from ambit.keys.sealing import keyed_hash
from tenants.scope import current_tenant_id

# How soon more of the same word says nothing more, how much length takes away, and the usual length.
SATURATION, LENGTH_PENALTY, USUAL_LENGTH = 1.5, 0.75, 100
# No dimension of a passage reaches it.
MOST_OF_A_WORD = SATURATION + 1
# Each word is looked for in each passage that any of them finds.
MAX_QUERY_WORDS = 64
# So much of a question is stemmed at all, in each language: what comes after 64 words is not looked for.
MAX_QUERY_TOKENS, MAX_QUERY_CHARACTERS = 256, 4000

# A language that this Postgres has no stemmer for is taken as it stands.
_INDEXED = """
SELECT t.n, w.lexeme, cardinality(w.positions)
FROM unnest(%s::text[]) WITH ORDINALITY AS t (body, n), unnest(to_tsvector(coalesce((
    SELECT oid FROM pg_ts_config
    WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = %s
), 'pg_catalog.simple'::regconfig)::regconfig, t.body)) AS w
ORDER BY t.n
"""
# In all configurations the same word has the same position. A Postgres may lack some of the languages: the last
# row names those it has, because one that does not exist leaves out no word.
_ASKED = """
WITH existing AS (
    SELECT oid, cfgname::text FROM pg_ts_config
    WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = ANY (%s)
)
SELECT place, lexeme, array_agg(cfgname)
FROM existing, unnest(to_tsvector(oid::regconfig, %s)) AS w, unnest(w.positions) AS place
GROUP BY place, lexeme
UNION ALL
SELECT NULL, NULL, array_agg(cfgname) FROM existing
ORDER BY place, lexeme
"""

_SPELT = """
SELECT n, cfgname::text, array_remove(array_agg(w.lexeme), NULL)
FROM pg_ts_config
CROSS JOIN unnest(%s::int[], %s::text[]) AS spelt (n, spelling)
LEFT JOIN LATERAL unnest(to_tsvector(pg_ts_config.oid::regconfig, spelling)) AS w ON true
WHERE cfgnamespace = 'pg_catalog'::regnamespace AND cfgname = ANY (%s)
GROUP BY n, spelling, cfgname
"""


@dataclass(frozen=True, slots=True)
class NameWord:
    """A word of a name, as any of its stems, and the languages whose documents it is left out of."""

    stems: SparseVector
    left_out: tuple[str, ...]


def word_vectors(texts: Sequence[str], *, language: str) -> list[SparseVector]:
    """Return each text's words as a sparse vector of keyed hashes."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INDEXED, [[spaced(text) for text in texts], _stemmers().get(language, SIMPLE)]
        )
        rows = cursor.fetchall()
    dimensions = _Dimensions(current_tenant_id())
    counts: list[Counter[int]] = [Counter() for _ in texts]
    for number, lexeme, n in rows:
        counts[number - 1][dimensions[lexeme]] += n
    return [SparseVector(_saturated(found), WORD_DIMENSIONS) for found in counts]


def words_asked(text: str) -> list[tuple[int, ...]]:
    """Return the dimensions of a question's first words, counted from 0, as many as are worth their time.

    A word is any of its stems.
    """
    with connection.cursor() as cursor:
        asked = " ".join(spaced(text).split()[:MAX_QUERY_TOKENS])[:MAX_QUERY_CHARACTERS]
        cursor.execute(_ASKED, [[*_stemmers().values(), SIMPLE], asked])
        *rows, (_, _, existing) = cursor.fetchall()
    stems: defaultdict[int, list[str]] = defaultdict(list)
    known_to: defaultdict[int, set[str]] = defaultdict(set)
    for place, lexeme, configurations in rows:
        stems[place].append(lexeme)
        known_to[place].update(configurations)
    dropped = _stop_words(known_to, set(existing) & set(_stemmers().values()))
    dimensions = _Dimensions(current_tenant_id())
    words = dict.fromkeys(tuple(found) for place, found in stems.items() if place not in dropped)
    return [tuple(dimensions[lexeme] for lexeme in word) for word in list(words)[:MAX_QUERY_WORDS]]


def words_of_name(name: str) -> list[NameWord]:
    """Return the words of a name, with marks and without; some languages take one for a small word."""
    words = spellings_of(name)
    spelt = [(n, one) for n, word in enumerate(words) for one in dict.fromkeys(word)]
    stemmers = _stemmers()
    with connection.cursor() as cursor:
        numbers, spellings = [n for n, _ in spelt], [one for _, one in spelt]
        cursor.execute(_SPELT, [numbers, spellings, [*stemmers.values(), SIMPLE]])
        rows = cursor.fetchall()
    dimensions = _Dimensions(current_tenant_id())
    stems: defaultdict[int, dict[int, float]] = defaultdict(dict)
    without: defaultdict[int, set[str]] = defaultdict(set)
    for n, configuration, lexemes in rows:
        stems[n].update(dict.fromkeys((dimensions[lexeme] for lexeme in lexemes), 1.0))
        if not lexemes:
            without[n].add(configuration)
    return [
        NameWord(
            SparseVector(stems[n], WORD_DIMENSIONS),
            tuple(tag for tag, configuration in stemmers.items() if configuration in without[n]),
        )
        for n in range(len(words))
    ]


def _saturated(counts: Counter[int]) -> dict[int, float]:
    length = 1 - LENGTH_PENALTY + LENGTH_PENALTY * counts.total() / USUAL_LENGTH
    return {at: n * MOST_OF_A_WORD / (n + SATURATION * length) for at, n in counts.items()}


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


class _Dimensions(dict[str, int]):
    """Dimensions of one tenant's words, counted from 0, each computed once."""

    def __init__(self, tenant_id: UUID) -> None:
        super().__init__()
        self.tenant_id = tenant_id

    def __missing__(self, lexeme: str) -> int:
        digest = keyed_hash(lexeme.encode(), tenant_id=self.tenant_id, purpose="lexeme")
        self[lexeme] = int.from_bytes(digest[:7]) % WORD_DIMENSIONS
        return self[lexeme]
