"""Big tenants' own vector graphs: complete results along them, and nobody else's rows in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection, connections
from pytest_django import Settings

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.config.env import InvalidSetting, read_calibration
from ambit.corpus import graphs
from ambit.corpus.graphs import AlreadyArranging, Arrangement, arrange_graphs, graph_name
from ambit.corpus.search import search
from ambit.corpus.types import UNFILTERED, Filters
from ambit.corpus.types import Passage as Found
from tenants.scope import tenant_scope
from tests.database.private import PrivateDatabase
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    random_vectors,
    unit,
    working,
)

BIG, SMALL = 240, 30
# Asked for so many, a walk looks for half again as many: half of the 128 it visits first.
HALF_OF_A_LOOK = 43


@dataclass(frozen=True, slots=True)
class Firm:
    """A tenant: Alice owns everything, Bob reads half, Carol nothing."""

    tenant_id: UUID
    alice: UUID
    bob: UUID
    carol: UUID
    documents: tuple[UUID, UUID]

    def ask(
        self, member_id: UUID, embedding: Any, *, k: int = 10, filters: Filters = UNFILTERED
    ) -> list[Found]:
        """Search by meaning."""
        with tenant_scope(self.tenant_id, member_id=member_id):
            return search(
                clearance=clearance_for(member_id=member_id),
                query="",
                embedding=embedding.tolist(),
                k=k,
                mode="vector",
                filters=filters,
            )


@pytest.fixture(autouse=True)
def thresholds(settings: Settings) -> None:
    """Let what is big be small enough for a test."""
    settings.AMBIT_EXACT_ROWS = 60
    settings.AMBIT_GRAPH_MIN_ROWS = 100
    settings.AMBIT_GRAPHS_MAX = 1000


@pytest.fixture
def place(private: PrivateDatabase) -> Iterator[PrivateDatabase]:
    """Work in the private database, without graphs before and after."""
    with private.in_use():
        yield private
        with connections["owner"].cursor() as cursor:
            for name in _standing():
                cursor.execute(f'DROP INDEX "{name}"')


def _standing() -> set[str]:
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'vector_graph%'")
        return {row[0] for row in cursor.fetchall()}


def _firm(n: int, *, seed: int = 0, vectors: Any = None) -> Firm:
    tenant_id = make_tenant()
    with working(tenant_id):
        alice, bob, carol = (make_member(name) for name in ("alice", "bob", "carol"))
        collections = [
            make_collection(grant("owner", member=alice), grant("reader", member=bob)),
            make_collection(grant("owner", member=alice)),
        ]
    if vectors is None:
        vectors = random_vectors(n, seed=seed)
    halves = (vectors[: n // 2], vectors[n // 2 :])
    first, second = (
        publish(
            tenant_id=tenant_id,
            by=alice,
            collection_id=collection_id,
            passages=[Passage(f"passage {at}", vector) for at, vector in enumerate(half)],
        )
        for collection_id, half in zip(collections, halves, strict=True)
    )
    return Firm(tenant_id, alice, bob, carol, (first, second))


@contextmanager
def _watching(firm: Firm) -> Iterator[list[int]]:
    """Note for every search statement how often it walked the tenant's graph."""
    walks: list[int] = []

    def walked() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(pg_stat_get_xact_numscans(to_regclass(%s)), 0)",
                [graph_name(firm.tenant_id)],
            )
            return int(cursor.fetchone()[0])

    def noting(execute: Any, sql: str, *rest: Any) -> Any:
        if "fused AS" not in sql:
            return execute(sql, *rest)
        before = walked()
        result = execute(sql, *rest)
        walks.append(walked() - before)
        return result

    with connection.execute_wrapper(noting):
        yield walks


def _ids(found: list[Found]) -> list[UUID]:
    return [passage.chunk_id for passage in found]


def test_a_big_tenant_gets_a_graph_of_its_own_and_finds_along_it_what_a_scan_finds(
    place: PrivateDatabase, settings: Settings
) -> None:
    big, small = _firm(BIG, seed=1), _firm(SMALL, seed=2)
    questions = random_vectors(20, seed=3)
    scanned = [_ids(big.ask(big.alice, q)) for q in questions]

    done = arrange_graphs()

    assert big.tenant_id in done.promoted
    assert small.tenant_id not in done.promoted
    assert graph_name(big.tenant_id) in _standing()
    with _watching(big) as walks:
        walked = [_ids(big.ask(big.alice, q)) for q in questions]
    assert walks == [1] * len(questions), "each question is answered by one statement"
    assert walked == scanned


def test_who_sees_half_finds_all_of_its_best_and_who_sees_nothing_finds_nothing(
    place: PrivateDatabase,
) -> None:
    firm = _firm(BIG, seed=4)
    questions = random_vectors(10, seed=5)
    scanned = [_ids(firm.ask(firm.bob, q, k=HALF_OF_A_LOOK)) for q in questions]
    arrange_graphs()

    with _watching(firm) as walks:
        walked = [_ids(firm.ask(firm.bob, q, k=HALF_OF_A_LOOK)) for q in questions]

    # Around some questions less than half is visible: a second walk, as far as that tells.
    assert set(walks) <= {1, 2}
    assert 2 in walks
    assert walked == scanned
    assert firm.ask(firm.carol, questions[0]) == []


def test_few_visible_rows_are_scanned_whatever_graph_stands(
    place: PrivateDatabase, settings: Settings
) -> None:
    settings.AMBIT_EXACT_ROWS = BIG
    firm = _firm(BIG, seed=6)
    arrange_graphs()
    for statement in ("SELECT 1", "ANALYZE"):
        with place.superuser() as superuser:
            superuser.execute(statement.encode())

        with _watching(firm) as walks:
            found = firm.ask(firm.alice, unit(0))

        assert len(found) == 10
        assert walks == [0]


def test_a_graph_that_comes_up_short_is_followed_by_a_scan(place: PrivateDatabase) -> None:
    """What Bob may read lies far from the question, and what he may not read all around it."""
    near, far = unit(0), -unit(0)
    # More are near than a first look visits.
    apart = random_vectors(300, seed=7) / 10
    firm = _firm(300, vectors=np.concatenate([apart[:150] + far, apart[150:] + near]))
    scanned = _ids(firm.ask(firm.bob, near))
    arrange_graphs()

    with _watching(firm) as walks:
        found = _ids(firm.ask(firm.bob, near))

    assert walks == [1], "where nothing visible is near, it does not look further"
    assert found == scanned
    assert len(found) == 10


def test_a_filtered_search_scans_among_what_the_filter_admits(place: PrivateDatabase) -> None:
    firm = _firm(BIG, seed=19)
    arrange_graphs()

    with _watching(firm) as walks:
        found = firm.ask(
            firm.alice, unit(0), filters=Filters(created_before=datetime(9999, 1, 1, tzinfo=UTC))
        )

    assert walks == [0]
    assert len(found) == 10


def test_a_deleted_document_is_not_found_along_the_graph(place: PrivateDatabase) -> None:
    firm = _firm(BIG, seed=9)
    arrange_graphs()
    with working(firm.tenant_id):
        delete_document(
            clearance=clearance_for(member_id=firm.alice), document_id=firm.documents[1]
        )

    for question in random_vectors(5, seed=10):
        found = firm.ask(firm.alice, question)
        assert len(found) == 10
        assert {passage.document_id for passage in found} == {firm.documents[0]}


def test_a_tenant_that_shrank_loses_its_graph_and_half_the_threshold_keeps_one(
    place: PrivateDatabase, settings: Settings
) -> None:
    firm = _firm(BIG, seed=11)
    arrange_graphs()

    settings.AMBIT_GRAPH_MIN_ROWS = 2 * BIG
    assert firm.tenant_id not in arrange_graphs().demoted
    settings.AMBIT_GRAPH_MIN_ROWS = 2 * BIG + 2
    assert firm.tenant_id in arrange_graphs().demoted

    assert graph_name(firm.tenant_id) not in _standing()
    assert len(firm.ask(firm.alice, unit(0))) == 10


def test_the_ceiling_holds_and_leaves_out_the_smaller(
    place: PrivateDatabase, settings: Settings
) -> None:
    settings.AMBIT_GRAPHS_MAX = 1
    smaller, bigger = _firm(BIG, seed=12), _firm(BIG + 400, seed=13)

    done = arrange_graphs()
    again = arrange_graphs()

    assert done.promoted == (bigger.tenant_id,)
    assert smaller.tenant_id in done.left_out
    assert again.promoted == ()
    settings.AMBIT_GRAPHS_MAX = 0
    assert arrange_graphs().demoted == (bigger.tenant_id,)


def test_what_a_broken_build_left_is_not_walked_and_built_anew(place: PrivateDatabase) -> None:
    firm = _firm(BIG, seed=14)
    arrange_graphs()
    with place.superuser() as superuser:
        superuser.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
            [graph_name(firm.tenant_id)],
        )

    with _watching(firm) as walks:
        firm.ask(firm.alice, unit(0))
    done = arrange_graphs()

    assert walks == [0]
    assert firm.tenant_id in done.promoted


def test_a_graph_that_cannot_be_built_is_reported_and_holds_up_no_other(
    place: PrivateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller, bigger = _firm(BIG, seed=17), _firm(BIG + 300, seed=18)
    right = graphs._BUILD

    class Faulty(str):
        def format(self, *args: Any, **values: Any) -> str:
            if values["tenant_id"] == bigger.tenant_id:
                return "CREATE INDEX CONCURRENTLY no_such ON corpus_chunkvector (no_such)"
            return right.format(*args, **values)

    monkeypatch.setattr(graphs, "_BUILD", Faulty())
    done = arrange_graphs()

    assert done.failed == (bigger.tenant_id,)
    assert smaller.tenant_id in done.promoted
    assert graph_name(bigger.tenant_id) not in _standing()
    assert len(bigger.ask(bigger.alice, unit(0))) == 10


def test_two_processes_do_not_build_at_once(place: PrivateDatabase) -> None:
    with place.superuser() as superuser:
        superuser.execute("SELECT pg_advisory_lock(%s)", [graphs.ADVISORY_LOCK])
        with pytest.raises(AlreadyArranging):
            arrange_graphs()
        superuser.execute("SELECT pg_advisory_unlock(%s)", [graphs.ADVISORY_LOCK])

    assert isinstance(arrange_graphs(), Arrangement)


def test_the_command_says_what_it_did_and_what_the_ceiling_left_out(
    place: PrivateDatabase, settings: Settings
) -> None:
    settings.AMBIT_GRAPHS_MAX = 1
    _firm(BIG, seed=15)
    _firm(BIG, seed=16)

    said = _said("arrange_graphs")

    assert "1 tenants were given a graph, 0 lost theirs." in said
    assert "AMBIT_GRAPHS_MAX is 1" in said


def test_calibration_keeps_whole_figures_that_the_settings_read(
    place: PrivateDatabase, settings: Settings, tmp_path: Path
) -> None:
    settings.AMBIT_CALIBRATION = tmp_path / "new" / "retrieval.json"

    said = _said("calibrate_retrieval")

    kept = read_calibration(settings.AMBIT_CALIBRATION)
    assert kept.keys() == {"AMBIT_EXACT_ROWS"}
    assert all(f"{name}={value}" in said for name, value in kept.items())
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT to_regclass('calibration')")
        assert cursor.fetchone() == (None,)


@pytest.mark.parametrize("kept", ["", "[]", '{"AMBIT_EXACT_ROWS": 0}', '{"AMBIT_EXACT_ROWS": 1.5}'])
def test_a_calibration_that_cannot_be_read_stops_the_start(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "retrieval.json"
    path.write_text(kept)

    with pytest.raises(InvalidSetting, match="calibrate_retrieval"):
        read_calibration(path)


def _said(command: str) -> str:
    out = io.StringIO()
    call_command(command, stdout=out)
    return out.getvalue()
