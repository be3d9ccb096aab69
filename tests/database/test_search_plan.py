"""The plan of a search: the policy itself picks the rows, in a private database without statistics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from psycopg import Cursor

from ambit.access.clearance import clearance_for
from ambit.corpus.search import search
from ambit.corpus.types import UNFILTERED, Filters
from tenants.scope import tenant_scope
from tests.database.private import PrivateDatabase
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)

N_ROWS = 3000
METADATA = Filters(metadata=(("year", (2025, 2026)), ("team", ("a",))))
SPAN = Filters(created_after=datetime(2026, 1, 1, tzinfo=UTC), updated_before=datetime.now(UTC))
MANY = Filters(metadata=tuple((f"k{n}", tuple(range(100))) for n in range(20)))
BIG = {"corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes"}
# Copies of a document and of its one chunk; a plan does not depend on what the vectors hold.
_MULTIPLY = (
    "CREATE TEMP TABLE ids ON COMMIT DROP AS"
    " SELECT gen_random_uuid() AS id, n AS ordinal FROM generate_series(1, {n}) n",
    *(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, to_jsonb(ids))).*"  # noqa: S608
        f" FROM {table} t, ids WHERE t.document_id = '{{document}}'"
        for table in ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes")
    ),
    "INSERT INTO corpus_document SELECT (jsonb_populate_record(d, jsonb_build_object('id', ids.id))).*"
    " FROM corpus_document d, ids WHERE d.id = '{document}'",
)


class Explained(Exception):
    """Carries the plan of a search that was not run."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan


@pytest.fixture(scope="module")
def asker(private: PrivateDatabase) -> Iterator[tuple[UUID, UUID]]:
    """Return a tenant and a member who reads one of two large audiences, beside a large tenant."""
    with private.in_use(), private.superuser() as superuser:
        superuser.execute("ALTER SYSTEM SET autovacuum = off")
        superuser.execute("SELECT pg_reload_conf()")
        documents = []
        for _ in range(2):
            tenant_id = make_tenant()
            with working(tenant_id):
                alice, bob = make_member(), make_member()
                collections = [
                    make_collection(grant("owner", member=alice), grant("reader", member=bob)),
                    make_collection(grant("owner", member=alice)),
                ]
            documents += [
                publish(
                    tenant_id=tenant_id,
                    by=alice,
                    collection_id=collection_id,
                    passages=[Passage("harbor", unit(0))],
                )
                for collection_id in collections
            ]
        for document_id in documents:
            with superuser.transaction():
                for statement in _MULTIPLY:
                    superuser.execute(statement.format(n=N_ROWS, document=document_id).encode())
        yield tenant_id, bob


def _plan(tenant_id: UUID, member_id: UUID, *, filters: Filters = UNFILTERED) -> dict[str, Any]:
    """Return the plan that a connection makes of the search statement, and keeps where it does."""

    def explain(execute: Any, sql: str, *rest: Any) -> Any:
        if "fused AS" in sql and filters != UNFILTERED:
            execute(f"EXPLAIN (FORMAT JSON) {sql}", *rest)
            raise Explained(_fetched(rest[-1]["cursor"]))
        found = execute(sql, *rest)
        if "fused AS" in sql:
            raise Explained(_kept_plan())
        return found

    with (
        pytest.raises(Explained) as explained,
        tenant_scope(tenant_id),
        connection.execute_wrapper(explain),
    ):
        with connection.cursor() as cursor:
            cursor.execute("DISCARD PLANS")
        search(
            clearance=clearance_for(member_id=member_id),
            query="harbor",
            embedding=unit(0).tolist(),
            k=10,
            filters=filters,
        )
    return explained.value.plan


def _kept_plan() -> dict[str, Any]:
    with Cursor(connection.connection) as cursor:
        cursor.execute(
            "SELECT format('EXECUTE %I (%s)', name,"
            " (SELECT string_agg('NULL::' || type, ', ') FROM unnest(parameter_types) AS type))"
            " FROM pg_prepared_statements WHERE statement ~ 'fused AS'"
            " ORDER BY prepare_time DESC LIMIT 1",
            prepare=False,
        )
        (kept,) = cursor.fetchone() or ("",)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {kept}".encode(), prepare=False)
        return _fetched(cursor)


def _fetched(cursor: Any) -> dict[str, Any]:
    (found,) = cursor.fetchone()
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _index_conditions(node: dict[str, Any]) -> str:
    return " ".join(n.get("Index Cond", "") for n in _nodes(node))


def _forget_statistics(private: PrivateDatabase) -> None:
    with private.superuser() as superuser:
        superuser.execute(
            "SELECT pg_clear_relation_stats('public', relname) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        superuser.execute("DELETE FROM pg_statistic WHERE starelid::regclass::text LIKE 'corpus%'")


@pytest.mark.parametrize("analyzed", [False, True])
def test_the_policys_tenant_and_audiences_are_the_index_condition(
    private: PrivateDatabase, asker: tuple[UUID, UUID], *, analyzed: bool
) -> None:
    tenant_id, bob = asker
    _forget_statistics(private)
    if analyzed:
        with private.superuser() as superuser:
            superuser.execute("ANALYZE")

    with private.in_use():
        plan = _plan(tenant_id, bob)

    legs = _legs(plan)
    assert {leg["Relation Name"] for leg in legs} == {"corpus_chunkvector", "corpus_chunklexemes"}
    for leg in legs:
        condition = _index_conditions(leg)
        assert leg["Node Type"] in {"Index Scan", "Bitmap Heap Scan"}, leg
        assert "tenant_id = " in condition, leg
        # The list is the policy's own: the statement names no audience.
        assert "audience_id = ANY ((InitPlan" in condition, leg
    assert _whole_scans(plan) == []
    assert _scans_of_all_the_tenant_has(plan) == []
    # Whose words are sampled: of all documents in an audience none that is hidden, or has no passages, is read.
    documents = [n for n in _nodes(plan) if n.get("Relation Name") == "corpus_document"]
    sampled = [n for n in documents if "audience_id = " in n["Index Cond"]]
    assert [n["Index Name"] for n in sampled] == ["document_by_hash"] * 2
    for ranked in ("CTE near_seen", "CTE said_seen"):
        (part,) = [n for n in _nodes(plan) if n.get("Subplan Name") == ranked]
        (looked_up,) = [n for n in _nodes(part) if n.get("Relation Name") == "corpus_document"]
        assert looked_up["Index Name"] == "corpus_document_pkey"
        assert "id = " in looked_up["Index Cond"].replace("tenant_id = ", "")


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    "filters",
    [Filters((UUID(int=1),)), METADATA, SPAN, MANY],
    ids=["collections", "metadata", "times", "much metadata"],
)
def test_a_filtered_search_reads_rows_of_visible_documents_alone(
    private: PrivateDatabase, asker: tuple[UUID, UUID], filters: Filters, *, analyzed: bool
) -> None:
    tenant_id, bob = asker
    _forget_statistics(private)
    if analyzed:
        with private.superuser() as superuser:
            superuser.execute("ANALYZE")

    with private.in_use():
        plan = _plan(tenant_id, bob, filters=filters)

    for leg in _legs(plan):
        condition = _index_conditions(leg)
        assert "tenant_id = " in condition, leg
        # By audience, or from documents that the policy let through.
        assert "audience_id = ANY" in condition or "document_id = corpus_document" in condition
    assert _whole_scans(plan) == []


def test_metadata_is_looked_into_after_the_policy_alone(superuser: psycopg.Connection) -> None:
    # A function that is not leakproof waits for the policy's conditions, and serves no index before them.
    leakproof = superuser.execute(
        "SELECT proname FROM pg_proc WHERE proleakproof AND proname IN ('jsonb_object_field', 'jsonb_eq')"
    ).fetchall()

    assert leakproof == []


def _scans_of_all_the_tenant_has(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the scans whose index knows the tenant alone: they read what the policy then drops."""
    by_tenant = re.compile(r"\(tenant_id = [^()]+\)")
    scans = [n for n in _nodes(plan) if n.get("Relation Name", "").startswith("corpus_")]
    return [n for n in scans if by_tenant.fullmatch(n.get("Index Cond", ""))]


def _legs(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the scans of the two legs, by the names that the statement gives them."""
    names = {"corpus_chunkvector", "corpus_chunklexemes"}
    return [node for node in _nodes(plan) if node.get("Alias") in names]


def _whole_scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [n for n in _nodes(plan) if n["Node Type"] == "Seq Scan" and n["Relation Name"] in BIG]
