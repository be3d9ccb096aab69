"""Big tenants' own vector graphs: who gets one.

A graph (HNSW) is a partial index over ONE tenant's vectors. NEVER one that tenants share: it would
make a tenant's results and times depend on what its neighbours hold. Without a graph, and where few
rows are visible, search scans the visible rows, which is exact; the database's nearest_along_graph()
walks a graph, or leaves it where too few of the rows around a question are visible.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import Sum

from ambit.corpus.models import Document, Version
from tenants.models import Tenant
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

OWNER = "owner"
# The one table that has them.
TABLE = "corpus_chunkvector"
PREFIX = "vector_graph_"
_NAME = re.compile(PREFIX + "[0-9a-f]{32}")
ADVISORY_LOCK = 0x616D626974_67
# Building is quick while the graph fits into this.
_BUILD_MEMORY = "512MB"
# Names and predicates of an index take no parameters; both come from the tenant's own UUID.
_BUILD = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON corpus_chunkvector
USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64)
WHERE tenant_id = '{tenant_id}'
"""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What an arrangement did."""

    promoted: tuple[UUID, ...]
    demoted: tuple[UUID, ...]
    # Tenants big enough for a graph that the ceiling left without.
    left_out: tuple[UUID, ...]
    # Tenants whose graph could not be built; their searches scan.
    failed: tuple[UUID, ...]


class AlreadyArranging(RuntimeError):
    """Another process is building graphs; nothing was done."""


def graph_name(tenant_id: UUID) -> str:
    """Return the name of a tenant's graph."""
    return f"{PREFIX}{tenant_id.hex}"


def arrange_graphs() -> Arrangement:
    """Give graphs to the biggest tenants, up to the ceiling, and take them from those that shrank.

    Needs the owner's connection, since the application may not change the schema. Writes go on
    meanwhile. Raises AlreadyArranging.
    """
    with _owner() as cursor:
        broken, standing = _standing(cursor)
        for name in broken:
            _drop(cursor, name)
        if not standing and _rows_at_most(cursor) < settings.AMBIT_GRAPH_MIN_ROWS:
            return Arrangement((), (), (), ())
        sizes = {tenant_id: _n_chunks(tenant_id) for tenant_id in _tenants()}
        chosen, kept, left_out = _chosen(sizes, standing)
        demoted = tuple(sorted(standing - kept))
        for tenant_id in demoted:
            _drop(cursor, graph_name(tenant_id))
        promoted = tuple(t for t in chosen if _build(cursor, t))
    failed = tuple(t for t in chosen if t not in promoted)
    done = Arrangement(promoted, demoted, left_out, failed)
    logger.info("graphs.arranged", extra={f.name: len(getattr(done, f.name)) for f in fields(done)})
    return done


def set_aside() -> int:
    """Drop every graph, that their table may be rewritten in a moment; return how many there were.

    Searches scan until arrange_graphs() has built them again. Raises AlreadyArranging.
    """
    with _owner() as cursor:
        broken, standing = _standing(cursor)
        for name in [*broken, *map(graph_name, standing)]:
            _drop(cursor, name)
    return len(standing)


def drop_graph(tenant_id: UUID) -> None:
    """Drop a tenant's graph, whole or half built; needs the owner's connection. Raises AlreadyArranging."""
    with _owner() as cursor:
        _drop(cursor, graph_name(tenant_id))


def _chosen(
    sizes: dict[UUID, int], standing: set[UUID]
) -> tuple[tuple[UUID, ...], set[UUID], tuple[UUID, ...]]:
    """Return whom to promote, who keeps a graph and who is left out; half the threshold keeps one."""
    least, ceiling = settings.AMBIT_GRAPH_MIN_ROWS, settings.AMBIT_GRAPHS_MAX
    by_size = sorted(sizes, key=lambda tenant_id: (-sizes[tenant_id], tenant_id))
    stay = [t for t in by_size if t in standing and sizes[t] >= least / 2]
    come = [t for t in by_size if t not in standing and sizes[t] >= least]
    room = max(0, ceiling - len(stay))
    return tuple(come[:room]), set(stay[:ceiling]), tuple(come[room:])


def _tenants() -> Iterable[UUID]:
    return Tenant.objects.using(OPERATOR).values_list("pk", flat=True)


def _n_chunks(tenant_id: UUID) -> int:
    """Return about how many vectors a tenant has, from what its versions say of themselves."""
    with tenant_scope(tenant_id, custody=True):
        current = Document.objects.values("current_version_id")
        found = Version.objects.filter(pk__in=current).aggregate(n=Sum("n_chunks_embedded"))
        return int(found["n"] or 0)


@contextmanager
def _owner() -> Iterator[Any]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        if not cursor.fetchone()[0]:
            raise AlreadyArranging("another process arranges the graphs")
        try:
            yield cursor
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def _standing(cursor: Any) -> tuple[list[str], set[UUID]]:
    """Return the graphs that a broken-off build left behind, and the tenants that have one."""
    cursor.execute(
        "SELECT c.relname, i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE i.indrelid = 'public.corpus_chunkvector'::regclass AND c.relname LIKE %s",
        [PREFIX.replace("_", r"\_") + "%"],
    )
    rows = cursor.fetchall()
    rows = [(name, valid) for name, valid in rows if _NAME.fullmatch(name)]
    broken = [name for name, valid in rows if not valid]
    return broken, {UUID(name.removeprefix(PREFIX)) for name, valid in rows if valid}


def _rows_at_most(cursor: Any) -> float:
    """Return how many vectors there can be in the whole table: pages, each with the most it holds."""
    cursor.execute(
        "SELECT pg_relation_size('public.corpus_chunkvector') / %s",
        [2 * settings.AMBIT_EMBED_DIMENSIONS],
    )
    return float(cursor.fetchone()[0])


def _build(cursor: Any, tenant_id: UUID) -> bool:
    """Build a graph; where it fails, leave nothing half built, and the other tenants theirs."""
    cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [_BUILD_MEMORY])
    try:
        cursor.execute(_BUILD.format(name=graph_name(tenant_id), tenant_id=tenant_id))
    except DatabaseError as error:
        logger.warning("graphs.not_built", extra={"error": type(error).__name__})
        _drop(cursor, graph_name(tenant_id))
        return False
    return True


def _drop(cursor: Any, name: str) -> None:
    cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
