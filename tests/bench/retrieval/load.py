"""Load a workload into Ambit's tables by COPY, as its services would have left them.

The one place that knows the tables' columns: change it with the schema. fill() ends with what a
running Ambit does by itself for data that has been there for a while.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from django.core.management import call_command, get_commands
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from ambit.config.canary import plant_canary
from ambit.corpus.lexemes import word_vectors
from ambit.corpus.vault import Vault
from ambit.keys.keyring import create_tenant_keys
from ambit.keys.sealing import new_data_key
from tenants import services
from tenants.audit import Actor, acting_as
from tenants.scope import tenant_scope
from tests.bench.retrieval.adapters import Built, Place
from tests.bench.retrieval.workload import INDEPENDENT, N_TENANTS, SEED, Ints, Workload, read

N_TEXTS, WORDS_PER_TEXT, N_STOP_WORDS = 200, 150, 30
# Of the member with about as many groups as the real one with most.
N_GROUPS_OF_ONE = 700
NOW = datetime(2026, 11, 21, tzinfo=UTC)
# Kept by the workers' upkeep; commands that this Ambit does not have are skipped.
UPKEEP = ("calibrate_retrieval", "arrange_graphs")
_TABLES = ("corpus_chunkvector", "corpus_chunk", "corpus_chunklexemes")
# A number's kind, in the twelve bits of a UUIDv7 that are free beside its time.
_KINDS = (
    "collection", "audience", "group", "member", "document", "version", "key", "chunk", "other",
)  # fmt: skip
_MILLISECONDS = int(NOW.timestamp() * 1000)


@dataclass(frozen=True)
class People:
    """Ids of the tenants by number, of the askers by number, and of the member of 700 groups."""

    tenants: list[UUID]
    askers: dict[int, UUID]
    of_many_groups: UUID


def fill(place: Place) -> Built:
    """Migrate, load, vacuum and keep up; return what it cost."""
    call_command("migrate", database="owner", interactive=False, verbosity=0)
    plant_canary()
    workload = read(place.workload)
    tenants = [_make_tenant(n) for n in range(N_TENANTS)]
    started = time.perf_counter()
    with psycopg.connect(place.url, autocommit=True) as connection:
        register_vector(connection)
        # Nothing refers to what is not there: the references need not be checked row by row.
        connection.execute("SET session_replication_role = replica")
        people = _load_access(connection, workload, tenants)
        _load_documents(connection, workload, tenants)
        loaded = time.perf_counter()
        connection.execute("VACUUM ANALYZE")
        done = [name for name in UPKEEP if name in get_commands()]
        for name in done:
            call_command(name, verbosity=0)
        indexed = time.perf_counter()
        disk = _disk(connection)
    _write_people(place, people)
    notes = [f"upkeep: {', '.join(done)}"] if done else []
    return Built(loaded - started, indexed - loaded, disk, notes)


def make_id(kind: str, number: int) -> UUID:
    """Return an id in the shape of the product's, from which its number can be read."""
    high = _MILLISECONDS << 80 | 0x7 << 76 | (1 + _KINDS.index(kind)) << 64
    return UUID(int=high | 0b10 << 62 | number)


def row_of(chunk_id: UUID) -> int:
    """Return the number of a chunk's row."""
    return chunk_id.int & ((1 << 62) - 1)


def read_people(place: Place) -> People:
    """Return whom fill() made."""
    found = json.loads((place.folder / "people.json").read_text())
    return People(
        [UUID(t) for t in found["tenants"]],
        {int(number): UUID(id) for number, id in found["askers"].items()},
        UUID(found["of_many_groups"]),
    )


def _write_people(place: Place, people: People) -> None:
    found = {
        "tenants": [str(t) for t in people.tenants],
        "askers": {number: str(id) for number, id in people.askers.items()},
        "of_many_groups": str(people.of_many_groups),
    }
    (place.folder / "people.json").write_text(json.dumps(found))


def _make_tenant(number: int) -> UUID:
    with acting_as(Actor("operator", None)):
        tenant, _ = services.create_tenant(
            name=f"Tenant {number}", slug=f"tenant-{number}", make_keys=create_tenant_keys
        )
    return tenant.pk


def _copy(
    connection: psycopg.Connection, table: str, columns: str, rows: Iterable[Sequence[Any]]
) -> None:
    """Copy rows; columns are "name type, name type"."""
    pairs = [column.split() for column in columns.split(", ")]
    names = ", ".join(name for name, _ in pairs)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types([type for _, type in pairs])
        for row in rows:
            copy.write_row(row)


def _load_access(connection: psycopg.Connection, workload: Workload, tenants: list[UUID]) -> People:
    """Make a collection per audience, read by one group; askers are in the groups of theirs."""
    audience, first = np.unique(workload.audiences, return_index=True)
    owner = [tenants[t] for t in workload.tenants[first]]
    numbers = list(zip(audience.tolist(), owner, strict=True))
    of = "id uuid, tenant_id uuid"
    _copy(
        connection,
        "access_audience",
        f"{of}, created_at timestamptz",
        ((make_id("audience", n), t, NOW) for n, t in numbers),
    )
    _copy(
        connection,
        "access_collection",
        f"{of}, name text, audience_id uuid, created_at timestamptz",
        (
            (make_id("collection", n), t, f"Collection {n}", make_id("audience", n), NOW)
            for n, t in numbers
        ),
    )
    _copy(
        connection,
        "access_audienceprincipal",
        f"{of}, audience_id uuid, group_id uuid",
        ((make_id("other", n), t, make_id("audience", n), make_id("group", n)) for n, t in numbers),
    )
    _copy(
        connection,
        "access_grant",
        f"{of}, collection_id uuid, group_id uuid, role text, created_at timestamptz",
        (
            (make_id("other", n), t, make_id("collection", n), make_id("group", n), "reader", NOW)
            for n, t in numbers
        ),
    )
    return _load_people(connection, workload, tenants, groups=numbers)


def _load_people(
    connection: psycopg.Connection,
    workload: Workload,
    tenants: list[UUID],
    *,
    groups: list[tuple[int, UUID]],
) -> People:
    askers = {a.number: a for b in workload.buckets for a in b.askers}
    members = {number: make_id("member", number) for number in askers}
    many = make_id("member", len(askers))
    big = tenants[INDEPENDENT]
    # Of the 700, one for each audience; the others read nothing themselves and are nested in those.
    # Never the other way round: an asker would see what the group around its own reads.
    reading = [n for n, t in groups if t == big][:N_GROUPS_OF_ONE]
    extra = list(range(len(groups), len(groups) + N_GROUPS_OF_ONE - len(reading)))
    nested = list(zip(extra, reading, strict=False))
    of = "id uuid, tenant_id uuid"
    _copy(
        connection,
        "tenants_group",
        f"{of}, external_id text, name text, created_at timestamptz",
        (
            (make_id("group", n), t, f"group-{n}", f"Group {n}", NOW)
            for n, t in [*groups, *((n, big) for n in extra)]
        ),
    )
    _copy(
        connection,
        "tenants_member",
        f"{of}, external_id text, email text, name text, role text, created_at timestamptz",
        (
            (id, t, str(id), f"{id}@bench.example", "", "member", NOW)
            for id, t in [
                *((members[n], tenants[a.tenant]) for n, a in askers.items()),
                (many, big),
            ]
        ),
    )
    pairs = [(members[n], tenants[a.tenant], g) for n, a in askers.items() for g in a.audiences]
    pairs += [(many, big, group) for group in [*extra, *reading[len(extra) :]]]
    _copy(
        connection,
        "tenants_groupmember",
        f"{of}, group_id uuid, member_id uuid",
        (
            (make_id("other", number), t, make_id("group", group), member)
            for number, (member, t, group) in enumerate(pairs)
        ),
    )
    _copy(
        connection,
        "tenants_groupchild",
        f"{of}, child_id uuid, parent_id uuid",
        (
            (make_id("other", n), big, make_id("group", child), make_id("group", parent))
            for n, (child, parent) in enumerate(nested)
        ),
    )
    return People(tenants, members, many)


def _load_documents(
    connection: psycopg.Connection, workload: Workload, tenants: list[UUID]
) -> None:
    texts = _texts()
    # Hashed under one tenant's key for all: of the same number and length as under each its own.
    with tenant_scope(tenants[INDEPENDENT]):
        words = word_vectors(texts, language="en")
    starts = np.flatnonzero(np.diff(workload.documents, prepend=-1))
    vaults, wrapped = _keys(workload, tenants, starts)
    _copy_documents(connection, workload, starts, vaults=vaults, wrapped=wrapped)
    parts = list(_parts(workload, tenants))
    of = "id uuid, tenant_id uuid, document_id uuid, audience_id uuid"
    _copy(
        connection,
        "corpus_chunk",
        f"{of}, version_id uuid, ordinal int4, char_start int4, char_end int4, n_tokens int4,"
        " body_sealed bytea, embedded_mac bytea",
        _chunks(workload, starts, parts, vaults=vaults, texts=texts),
    )
    _copy(
        connection,
        "corpus_chunkvector",
        f"{of}, embedding halfvec",
        ((*part, HalfVector(v)) for part, v in zip(parts, workload.vectors, strict=True)),
    )
    _copy(
        connection,
        "corpus_chunklexemes",
        f"{of}, words sparsevec",
        ((*part, words[row % len(words)]) for row, part in enumerate(parts)),
    )


def _texts() -> list[str]:
    """Return made-up texts with as many words, and as many different ones, as a chunk of English."""
    chosen = random.Random(SEED)
    words = [f"{syllable}w{n:x}" for n, syllable in enumerate("bcdfghjklm" * 400)]
    # Zipf's law, of which the first words are so frequent that they are not indexed.
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    words[:N_STOP_WORDS] = ["the"] * N_STOP_WORDS
    return [" ".join(chosen.choices(words, weights, k=WORDS_PER_TEXT)) for _ in range(N_TEXTS)]


def _keys(
    workload: Workload, tenants: list[UUID], starts: Ints
) -> tuple[dict[int, Vault], dict[int, bytes]]:
    vaults, wrapped = {}, {}
    for row in starts.tolist():
        number = int(workload.documents[row])
        tenant, document = tenants[workload.tenants[row]], make_id("document", number)
        with tenant_scope(tenant):
            key, wrapped[number] = new_data_key(tenant_id=tenant, object_id=document)
        vaults[number] = Vault(tenant, document, key)
    return vaults, wrapped


def _copy_documents(
    connection: psycopg.Connection,
    workload: Workload,
    starts: Ints,
    *,
    vaults: dict[int, Vault],
    wrapped: dict[int, bytes],
) -> None:
    documents = workload.documents[starts].tolist()
    audiences = workload.audiences[starts].tolist()
    lengths = np.diff(starts, append=len(workload)).tolist()
    numbers = list(zip(documents, audiences, lengths, strict=True))
    of = "id uuid, tenant_id uuid, audience_id uuid"

    def base(document: int, audience: int) -> tuple[UUID, UUID]:
        return vaults[document].tenant_id, make_id("audience", audience)

    _copy(
        connection,
        "corpus_document",
        f"{of}, collection_id uuid, own_grants bool, title_sealed bytea, metadata jsonb,"
        " current_version_id uuid, latest_version_id uuid, created_at timestamptz, updated_at timestamptz",
        (
            (
                make_id("document", d), *base(d, a), make_id("collection", a), False,
                vaults[d].seal("A document", object_id=make_id("document", d), name="title"),
                Jsonb({}), make_id("version", d), make_id("version", d), NOW, NOW,
            )
            for d, a, _ in numbers
        ),
    )  # fmt: skip
    _copy(
        connection,
        "corpus_documentkey",
        f"{of}, document_id uuid, wrapped bytea",
        (
            (make_id("key", d), *base(d, a), make_id("document", d), wrapped[d])
            for d, a, _ in numbers
        ),
    )
    _copy(
        connection,
        "corpus_version",
        f"{of}, document_id uuid, number int4, state text, reason_code text, reason text, attempts int4,"
        " declared_media_type text, media_type text, language text, n_bytes int8, content_mac bytea, n_chunks int4,"
        " n_chunks_embedded int4, received_at timestamptz, ready_at timestamptz",
        (
            (
                make_id("version", d), *base(d, a), make_id("document", d), 1, "ready", "", "", 1,
                "text/plain", "text/plain", "en", 1000 * n, b"\0" * 32, n, n, NOW, NOW,
            )
            for d, a, n in numbers
        ),
    )  # fmt: skip


def _parts(workload: Workload, tenants: list[UUID]) -> Iterator[tuple[UUID, UUID, UUID, UUID]]:
    columns = (workload.tenants, workload.documents, workload.audiences)
    for row, (t, d, a) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        yield make_id("chunk", row), tenants[t], make_id("document", d), make_id("audience", a)


def _chunks(
    workload: Workload,
    starts: Ints,
    parts: list[tuple[UUID, UUID, UUID, UUID]],
    *,
    vaults: dict[int, Vault],
    texts: list[str],
) -> Iterator[tuple[Any, ...]]:
    start_of = dict(zip(workload.documents[starts].tolist(), starts.tolist(), strict=True))
    for row, (part, document) in enumerate(zip(parts, workload.documents.tolist(), strict=True)):
        text = texts[row % len(texts)]
        sealed = vaults[document].seal_chunk(chunk_id=part[0], text=text, section="")
        ordinal = row - start_of[document]
        yield (
            *part, make_id("version", document), ordinal, 1000 * ordinal,
            1000 * ordinal + len(text), 200, sealed, row.to_bytes(32, "big"),
        )  # fmt: skip


def _disk(connection: psycopg.Connection) -> dict[str, int]:
    found = {}
    for what, tables in (("vectors", _TABLES[:1]), ("vectors, text, words", _TABLES)):
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(t::regclass))::int8 FROM unnest(%s::text[]) t",
            [list(tables)],
        ).fetchone()
        assert row is not None
        found[what] = int(row[0])
    return found
