"""Which documents mention a person: keyed hashes of identifiers, and keyed words of names.

Answers with ids and kinds, for a person to decide; NEVER with text. A name is looked for among the words
that search compares: all of them in one passage, in any order, or all in what describes the document.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection
from django.db.models import F, Q, QuerySet
from pgvector import SparseVector

from ambit.corpus.holdings import every_audience
from ambit.corpus.identifiers import Identifier, forms_of, words_of
from ambit.corpus.identifiers import Mention as Found
from ambit.corpus.lexemes import NameWord, words_of_name
from ambit.corpus.models import Document, Mention, Version
from ambit.corpus.types import WORD_DIMENSIONS
from ambit.keys.sealing import keyed_hash
from tenants.scope import current_tenant_id, custody_scope

MAC_BYTES = 16
# What Postgres says of a statement that it ended.
CANCELLED = "57014"
# All names of one question together: each is looked for in every passage of the tenant.
LONGEST_S = 20.0

# A word that the document's language leaves out of the index is not asked for there; one at least must stand.
_NAMED = """
WITH asked AS MATERIALIZED (
    SELECT stems::sparsevec AS stems, string_to_array(languages, ' ') AS left_out
    FROM unnest(%(stems)s::text[], %(left_out)s::text[]) AS w (stems, languages)
), near AS MATERIALIZED (
    -- All of the tenant's are read: by one comparison each, and what passes it by more.
    SELECT document_id, words FROM corpus_chunklexemes
    WHERE tenant_id = %(tenant)s AND (words <#> %(any_stem)s::sparsevec) < 0
)
SELECT DISTINCT near.document_id
FROM near
JOIN corpus_document d ON d.tenant_id = %(tenant)s AND d.id = near.document_id
JOIN corpus_version v ON v.tenant_id = d.tenant_id AND v.id = d.current_version_id
WHERE (d.hidden_at IS NULL OR d.withheld_at IS NOT NULL) AND NOT EXISTS (
    SELECT FROM asked WHERE NOT (near.words <#> stems < 0 OR v.language = ANY (left_out))
)
"""


class LookedTooLong(RuntimeError):
    """Names could not be looked for in the time there is; nothing was found and nothing kept."""


def mention_mac(found: Found) -> bytes:
    """Return the keyed hash under which a tenant's documents mention something."""
    data = f"{found.kind}|{found.form}".encode()
    return keyed_hash(data, tenant_id=current_tenant_id(), purpose="mention")[:MAC_BYTES]


def documents_mentioning(identifiers: Sequence[Identifier]) -> dict[UUID, Counter[str]]:
    """Return documents with the number of these identifiers that each mentions, by kind.

    What is hidden for good is left out, what is under a hold is not. Raises CannotBeLookedFor,
    LookedTooLong.
    """
    until = time.monotonic() + LONGEST_S
    macs: defaultdict[bytes, set[int]] = defaultdict(set)
    for place, one in enumerate(identifiers):
        for form in forms_of(one, place=place):
            macs[mention_mac(form)].add(place)
    with custody_scope():
        pairs = {
            (document_id, place) for document_id, mac in _mentions(macs) for place in macs[mac]
        }
        for place, one in enumerate(identifiers):
            if one.kind == "name":
                pairs |= {(document_id, place) for document_id in _naming(one.value, until=until)}
    found: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    for document_id, place in pairs:
        found[document_id][identifiers[place].kind] += 1
    return dict(found)


def count_not_looked_through() -> int:
    """Return how many documents there are whose newest content was not looked through, or not whole."""
    with custody_scope():
        through = Version.objects.filter(n_mentions__isnull=False).values("pk")
        newest = Q(current_version_id=F("latest_version_id"), current_version_id__in=through)
        return _there().exclude(newest).count()


def _naming(name: str, *, until: float) -> set[UUID]:
    """Return the documents in which the words of a name stand together; raise LookedTooLong."""
    words = words_of_name(name)
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "any_stem": _any(words).to_text(),
        "stems": [word.stems.to_text() for word in words],
        "left_out": [" ".join(word.left_out) for word in words],
    }
    with every_audience(), _ended_at(until), connection.cursor() as cursor:
        cursor.execute(_NAMED, values)
        found = {document_id for (document_id,) in cursor.fetchall()}
    macs = [mention_mac(Found("word", word)) for word in words_of(name)]
    described = Counter(document_id for document_id, _ in _mentions(macs))
    return found | {document_id for document_id, n in described.items() if n == len(macs)}


@contextmanager
def _ended_at(until: float) -> Iterator[None]:
    """Have Postgres end the block's statements at a moment of the monotonic clock; raise LookedTooLong."""
    left_ms = int(1000 * (until - time.monotonic()))
    if left_ms <= 0:
        raise LookedTooLong
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{left_ms}ms"])
        yield
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != CANCELLED:
            raise
        raise LookedTooLong from error


def _any(words: Sequence[NameWord]) -> SparseVector:
    stems = {at: 1.0 for word in words for at in word.stems.indices()}
    return SparseVector(stems, WORD_DIMENSIONS)


def _mentions(macs: Iterable[bytes]) -> list[tuple[UUID, bytes]]:
    found = Mention.objects.filter(value_mac__in=list(macs), document_id__in=_there().values("pk"))
    return [(one, bytes(mac)) for one, mac in found.values_list("document_id", "value_mac")]


def _there() -> QuerySet[Document]:
    return Document.objects.filter(Q(hidden_at__isnull=True) | Q(withheld_at__isnull=False))
