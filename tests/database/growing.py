"""Many tenants and a big one, made by SQL as the superuser, and what statements read and write among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from django.db import connection

Statistics = Literal["defaults", "analyzed"]
STATISTICS: tuple[Statistics, ...] = ("defaults", "analyzed")

# A tenant of 10,000 members in 22 of 2,000 groups each, the first in 700; each third group is inside another;
# 1,000 collections, each shared with four groups and five members, three also with everybody.
_BIG = """
INSERT INTO tenants_member (id, tenant_id, external_id, email, name, role, created_at)
  SELECT gen_random_uuid(), t, n, n, '', 'member', now() FROM big, generate_series(1, 10000) n;
INSERT INTO tenants_group (id, tenant_id, external_id, name, created_at)
  SELECT gen_random_uuid(), t, n, n, now() FROM big, generate_series(1, 2000) n;
INSERT INTO access_audience (id, tenant_id, created_at)
  SELECT gen_random_uuid(), t, now() FROM big, generate_series(1, 1000);
CREATE TEMP TABLE m AS SELECT id, external_id::int AS n FROM tenants_member, big WHERE tenant_id = t;
CREATE TEMP TABLE g AS SELECT id, external_id::int AS n FROM tenants_group, big WHERE tenant_id = t;
CREATE TEMP TABLE a AS SELECT id, row_number() OVER () AS n FROM access_audience, big WHERE tenant_id = t;
INSERT INTO access_collection (id, tenant_id, name, audience_id, created_at)
  SELECT gen_random_uuid(), t, n, id, now() FROM big, a;
INSERT INTO tenants_groupmember (id, tenant_id, group_id, member_id)
  SELECT gen_random_uuid(), t, g.id, m.id FROM big, m, generate_series(0, 21) k, g
  WHERE m.n > 1 AND g.n = 1 + (m.n * 7919 + k * 89) % 2000
  UNION ALL SELECT gen_random_uuid(), t, g.id, m.id FROM big, m, g WHERE m.n = 1 AND g.n <= 700;
INSERT INTO tenants_groupchild (id, tenant_id, parent_id, child_id)
  SELECT gen_random_uuid(), t, p.id, c.id FROM big, g p, g c WHERE c.n % 3 = 0 AND p.n = c.n / 2;
INSERT INTO access_audienceprincipal (id, tenant_id, audience_id, group_id, member_id)
  SELECT gen_random_uuid(), t, a.id, g.id, NULL::uuid FROM big, a, generate_series(0, 3) k, g
  WHERE g.n = 1 + (a.n * 31 + k * 503) % 2000
  UNION ALL SELECT gen_random_uuid(), t, a.id, NULL, m.id FROM big, a, generate_series(0, 4) k, m
  WHERE m.n = 1 + (a.n * 17 + k * 1009) % 10000
  UNION ALL SELECT gen_random_uuid(), t, a.id, NULL, NULL FROM big, a WHERE a.n <= 3;
"""
# Rows about the member: see the table of test_growth.py.
_ABOUT = """
WITH RECURSIVE mine (id) AS (
    SELECT group_id FROM tenants_groupmember WHERE tenant_id = %(t)s AND member_id = %(m)s
    UNION SELECT parent_id FROM tenants_groupchild c JOIN mine ON child_id = mine.id WHERE c.tenant_id = %(t)s
)
SELECT 1 + (SELECT count(*) FROM tenants_groupmember WHERE tenant_id = %(t)s AND member_id = %(m)s)
  + (SELECT count(*) FROM tenants_groupchild WHERE tenant_id = %(t)s AND child_id IN (SELECT id FROM mine))
  + (SELECT count(*) FROM access_audienceprincipal WHERE tenant_id = %(t)s
     AND (group_id IN (SELECT id FROM mine) OR member_id = %(m)s OR (group_id IS NULL AND member_id IS NULL)))
"""
# Copies of a collection's one document and of its vector.
_MORE_DOCUMENTS = (
    "CREATE TEMP TABLE ids AS SELECT gen_random_uuid() AS id FROM generate_series(1, %(n)s)",
    "INSERT INTO corpus_chunkvector SELECT (jsonb_populate_record(v, to_jsonb(ids) ||"
    " jsonb_build_object('document_id', ids.id))).* FROM corpus_chunkvector v, ids WHERE document_id ="
    " (SELECT id FROM corpus_document WHERE collection_id = %(c)s)",
    "INSERT INTO corpus_document SELECT (jsonb_populate_record(d, to_jsonb(ids))).*"
    " FROM corpus_document d, ids WHERE collection_id = %(c)s",
)
_READERS = """
WITH RECURSIVE inside (id) AS (
    SELECT group_id FROM access_audienceprincipal WHERE tenant_id = %(t)s AND audience_id = %(a)s
    UNION SELECT child_id FROM tenants_groupchild c JOIN inside ON parent_id = inside.id WHERE c.tenant_id = %(t)s
)
SELECT count(*) FROM tenants_member m WHERE tenant_id = %(t)s AND (
    id IN (SELECT member_id FROM access_audienceprincipal WHERE tenant_id = %(t)s AND audience_id = %(a)s)
    OR id IN (SELECT member_id FROM tenants_groupmember WHERE tenant_id = %(t)s
              AND group_id IN (SELECT id FROM inside)))
"""


@dataclass(slots=True)
class Cost:
    """Rows and pages that reading statements read, index scans in them, rows written, statements sent."""

    rows: float = 0
    pages: int = 0
    index_scans: int = 0
    written: int = 0
    statements: int = 0


@dataclass(frozen=True, slots=True)
class Big:
    """The big tenant, its member of 700 groups and one of 22, a group and a collection's audience."""

    tenant_id: UUID
    of_700: UUID
    of_22: UUID
    group_id: UUID
    audience_id: UUID


@contextmanager
def measured(*, again: bool = True) -> Iterator[Cost]:
    """Measure the statements of the block; those that read are explained first, then run again.

    again: without it the code gets no rows, where it has no need of them.
    """
    cost = Cost()

    def explain(execute: Any, sql: str, *rest: Any) -> Any:
        cost.statements += 1
        if sql.lstrip().startswith(("SELECT", "WITH")) and "set_config" not in sql:
            execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *rest)
            (found,) = rest[-1]["cursor"].fetchone()
            _add(cost, (found if isinstance(found, list) else json.loads(found))[0]["Plan"])
            if not again:
                return None
        return execute(sql, *rest)

    before = _written()
    with connection.execute_wrapper(explain):
        yield cost
    cost.written = _written() - before


def _add(cost: Cost, plan: dict[str, Any]) -> None:
    cost.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    for node in _nodes(plan):
        if "Relation Name" in node:
            passed = node.get("Rows Removed by Filter", 0) + node.get(
                "Rows Removed by Index Recheck", 0
            )
            cost.rows += round((node["Actual Rows"] + passed) * node["Actual Loops"])
        if "Index Name" in node:
            cost.index_scans += node["Actual Loops"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _written() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)"
            " FROM pg_stat_xact_user_tables WHERE relname <> 'tenants_auditevent'"
        )
        return int(cursor.fetchone()[0])


def know(superuser: psycopg.Connection, statistics: Statistics) -> None:
    """Let the planner know the tables as they are, or nothing of them."""
    if statistics == "analyzed":
        superuser.execute("ANALYZE")
        return
    superuser.execute(
        "SELECT pg_clear_relation_stats('public', relname) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    superuser.execute(
        "DELETE FROM pg_statistic WHERE starelid IN"
        " (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    )


def copy_tenant(superuser: psycopg.Connection, tenant_id: UUID, *, until: int) -> None:
    """Add tenants with the rows of one: their ids are unique inside a tenant only."""
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("CREATE TEMP TABLE IF NOT EXISTS copies (copy uuid); TRUNCATE copies")
    superuser.execute(
        "WITH made AS (INSERT INTO tenants_tenant (id, name, slug, salt_epoch, created_at)"
        " SELECT gen_random_uuid(), 'copy', gen_random_uuid(), 1, now()"
        " FROM generate_series((SELECT count(*) + 1 FROM tenants_tenant), %s) RETURNING id)"
        " INSERT INTO copies SELECT id FROM made",
        [until],
    )
    tables = superuser.execute(
        "SELECT format('INSERT INTO %%1$I (tenant_id, %%2$s) SELECT copy, %%2$s FROM copies, %%1$I o"
        " WHERE o.tenant_id = %%3$L', r.relname, string_agg(format('%%I', attname), ', '), %s::text)"
        " FROM pg_class r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attname <> 'tenant_id'"
        " GROUP BY r.relname HAVING r.relname IN"
        " (SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id')",
        [tenant_id],
    ).fetchall()
    for (statement,) in tables:
        superuser.execute(statement)


def make_big(superuser: psycopg.Connection, tenant_id: UUID) -> Big:
    """Fill a tenant that has no rows yet."""
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(f"CREATE TEMP TABLE big AS SELECT '{tenant_id}'::uuid AS t".encode())
    superuser.execute(_BIG.encode())
    (found,) = superuser.execute(
        "SELECT (SELECT id FROM m WHERE n = 1), (SELECT id FROM m WHERE n = 77),"
        " (SELECT id FROM g WHERE n = 2000), (SELECT id FROM a WHERE n = 500)"
    ).fetchall()
    return Big(tenant_id, *found)


def add_documents(superuser: psycopg.Connection, *, collection_id: UUID, number: int) -> None:
    """Copy a collection's one document and its vector."""
    superuser.execute("SET session_replication_role = replica")
    for statement in _MORE_DOCUMENTS:
        superuser.execute(statement, {"n": number, "c": collection_id})


def count_about(superuser: psycopg.Connection, *, tenant_id: UUID, member_id: UUID) -> int:
    """Return the number of rows about a member: see the table of test_growth.py."""
    ((about,),) = superuser.execute(_ABOUT, {"t": tenant_id, "m": member_id}).fetchall()
    return int(about)


def count_readers(superuser: psycopg.Connection, *, tenant_id: UUID, audience_id: UUID) -> int:
    """Return the number of members who may read an audience that is not the whole tenant's."""
    values = {"t": tenant_id, "a": audience_id}
    ((readers,),) = superuser.execute(_READERS, values).fetchall()
    return int(readers)
