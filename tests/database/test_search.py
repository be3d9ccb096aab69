"""The one door to passage text: exact, complete, and blind to what the caller may not see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document, set_document_grants
from ambit.corpus import search as search_module
from ambit.corpus.queries import (
    DocumentNotFound,
    WrongClearance,
    get_document,
    list_documents,
    read_content,
    visible_documents,
)
from ambit.corpus.search import search
from ambit.corpus.types import Clearance, Filters, Mode
from ambit.corpus.types import Passage as Found
from tenants import services
from tenants.scope import tenant_scope
from tests.database.office import Office, make_office
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    random_vectors,
    unit,
    working,
)


@pytest.fixture
def office() -> Office:
    """Return a fresh tenant."""
    return make_office()


def _passages(vectors: Any, *, word: str = "passage") -> list[Passage]:
    return [Passage(f"{word} number {n}", vector) for n, vector in enumerate(vectors)]


def test_who_may_see_a_passage_finds_it_and_nobody_else_does(office: Office) -> None:
    document_id = office.publish(Passage("The gate opens at six.", unit(0)))
    mallory = make_office()

    for member_id in (office.alice, office.bob):
        (found,) = office.ask(member_id, "when does the gate open", unit(0))
        assert (found.text, found.document_id) == ("The gate opens at six.", document_id)
    assert office.ask(office.carol, "when does the gate open", unit(0)) == []
    assert mallory.ask(mallory.alice, "when does the gate open", unit(0)) == []


def test_the_vector_leg_returns_what_a_brute_force_in_numpy_returns(office: Office) -> None:
    hidden = make_own_collection(office)
    vectors, others = random_vectors(120, seed=1), random_vectors(120, seed=2)
    office.publish(*_passages(vectors))
    office.publish(*_passages(others), collection_id=hidden)

    for question in random_vectors(10, seed=3):
        found = office.ask(office.bob, embedding=question, k=25, mode="vector")

        stored = np.asarray(question, dtype=np.float16).astype(np.float64)
        distances = 1 - vectors.astype(np.float64) @ stored / np.linalg.norm(stored)
        nearest = np.argsort(distances, kind="stable")[:25]
        assert [p.text for p in found] == [f"passage number {n}" for n in nearest]
        similarities = [p.similarity for p in found]
        assert similarities == pytest.approx(list(1 - distances[nearest]), abs=1e-3)


def make_own_collection(office: Office) -> UUID:
    """Add a collection that only Alice reads."""
    with working(office.tenant_id):
        return make_collection(grant("owner", member=office.alice))


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_k_passages_come_whenever_k_may_be_seen_however_many_may_not(
    office: Office, mode: Mode
) -> None:
    hidden = make_own_collection(office)
    # The hidden ones are nearer and say the word more often; they would fill most of the places.
    office.publish(
        *[Passage("harbor harbor harbor", unit(0)) for _ in range(45)], collection_id=hidden
    )
    office.publish(*[Passage(f"harbor {n}", random_vectors(1, seed=n)[0]) for n in range(12)])

    found = office.ask(office.bob, "harbor", unit(0), k=12, mode=mode)

    assert len(found) == 12
    assert {p.text for p in found} == {f"harbor {n}" for n in range(12)}


@contextmanager
def _asked() -> Iterator[list[str]]:
    """Collect the search statements that are sent."""
    sent: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        if "fused AS" in sql:
            sent.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield sent


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_hidden_documents_near_the_question_change_nothing_about_the_visible_ones(
    office: Office, mode: Mode
) -> None:
    # Some are nearer than the hidden ones and some farther, so that neither part comes up empty.
    office.publish(*[Passage(f"kept {n}", unit(0)) for n in range(5)])
    office.publish(*[Passage(f"kept the far {n}", random_vectors(1, seed=n)[0]) for n in range(5)])
    before = [astuple(p) for p in office.ask(office.bob, "kept", unit(0), k=10, mode=mode)]
    assert len(before) == 10

    near = random_vectors(1, seed=9)[0] * 0.1 + unit(0)
    removed = office.publish(*[Passage("kept and gone", near) for _ in range(300)])
    with working(office.tenant_id):
        delete_document(clearance=clearance_for(member_id=office.alice), document_id=removed)
    with _asked() as sent:
        after = [astuple(p) for p in office.ask(office.bob, "kept", unit(0), k=10, mode=mode)]

    assert after == before
    assert len(sent) == 2


def test_one_statement_is_enough_when_nothing_is_hidden(office: Office) -> None:
    office.publish(*_passages(random_vectors(30, seed=4)))

    with _asked() as sent:
        office.ask(office.bob, "passage", unit(0))

    assert len(sent) == 1


def test_a_deleted_document_is_gone_from_every_door_with_the_commit(office: Office) -> None:
    document_id = office.publish(Passage("harbor", unit(0)))
    with tenant_scope(office.tenant_id):
        stale = clearance_for(member_id=office.bob)
    with working(office.tenant_id):
        delete_document(clearance=clearance_for(member_id=office.alice), document_id=document_id)

    # Even with a clearance from before.
    with tenant_scope(office.tenant_id):
        for mode in ("hybrid", "vector", "text"):
            assert _search(stale, mode=mode) == []
        assert list_documents(clearance=stale, after=None, limit=10) == []
        for locking in (True, False):
            found = visible_documents(document_ids=[document_id], clearance=stale, locking=locking)
            assert found == set()
        for door in (get_document, read_content):
            with pytest.raises(DocumentNotFound):
                door(document_id=document_id, clearance=stale)


def _search(clearance: Clearance, *, mode: Mode = "hybrid") -> list[Found]:
    return search(clearance=clearance, query="harbor", embedding=unit(0).tolist(), k=10, mode=mode)


def test_a_revoked_reader_finds_nothing_with_the_next_statement(office: Office) -> None:
    document_id = office.publish(Passage("harbor", unit(0)))
    assert len(office.ask(office.bob, "harbor", unit(0))) == 1

    with working(office.tenant_id):
        set_document_grants(
            clearance=clearance_for(member_id=office.alice),
            document_id=document_id,
            grants=[grant("owner", member=office.alice)],
        )

    assert office.ask(office.bob, "harbor", unit(0)) == []
    assert len(office.ask(office.alice, "harbor", unit(0))) == 1


def test_a_suspended_reader_finds_nothing(office: Office) -> None:
    office.publish(Passage("harbor", unit(0)))
    with working(office.tenant_id):
        services.set_member_suspended(member_id=office.bob, suspended=True)

    assert office.ask(office.bob, "harbor", unit(0)) == []


def test_custody_opens_records_and_never_a_passage(office: Office) -> None:
    office.publish(Passage("harbor", unit(0)))

    with tenant_scope(office.tenant_id, custody=True):
        clearance = clearance_for(member_id=office.carol)
        assert _search(clearance) == []
        with connection.cursor() as cursor:
            for table in ("corpus_chunk", "corpus_chunkvector", "corpus_chunklexemes"):
                cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - our tables
                assert cursor.fetchone() == (0,), table


def test_an_empty_clearance_finds_lists_and_opens_nothing(office: Office) -> None:
    document_id = office.publish(Passage("harbor", unit(0)))

    with tenant_scope(office.tenant_id):
        clearance = clearance_for(member_id=office.carol)
        assert clearance.audience_ids == ()
        assert _search(clearance) == []
        assert list_documents(clearance=clearance, after=None, limit=10) == []
        for locking in (True, False):
            found = visible_documents(
                document_ids=[document_id], clearance=clearance, locking=locking
            )
            assert found == set()
        with pytest.raises(DocumentNotFound):
            get_document(document_id=document_id, clearance=clearance)


def test_an_empty_list_of_collections_is_none_of_them(office: Office) -> None:
    office.publish(Passage("harbor", unit(0)))

    assert office.ask(office.bob, "harbor", unit(0), filters=Filters(())) == []
    with tenant_scope(office.tenant_id):
        clearance = clearance_for(member_id=office.bob)
        listed = list_documents(clearance=clearance, after=None, limit=10, filters=Filters(()))
    assert listed == []


def test_naming_collections_narrows_and_never_widens(office: Office) -> None:
    hidden = make_own_collection(office)
    office.publish(Passage("harbor open", unit(0)))
    office.publish(Passage("harbor closed", unit(0)), collection_id=hidden)

    for collections, expected in (
        ((office.collection_id,), ["harbor open"]),
        ((hidden,), []),
        ((hidden, office.collection_id), ["harbor open"]),
        ((uuid4(),), []),
    ):
        found = office.ask(office.bob, "harbor", unit(0), filters=Filters(collections))
        assert [p.text for p in found] == expected


def test_a_clearance_of_another_tenant_is_refused_at_every_door(office: Office) -> None:
    other = make_office()
    document_id = other.publish(Passage("harbor", unit(0)))
    with tenant_scope(other.tenant_id):
        foreign = clearance_for(member_id=other.alice)

    with tenant_scope(office.tenant_id):
        for ask in (
            lambda: _search(foreign),
            lambda: list_documents(clearance=foreign, after=None, limit=10),
            lambda: get_document(document_id=document_id, clearance=foreign),
            lambda: read_content(document_id=document_id, clearance=foreign),
            lambda: visible_documents(document_ids=[document_id], clearance=foreign),
            lambda: visible_documents(document_ids=[document_id], clearance=foreign, locking=False),
        ):
            with pytest.raises(WrongClearance):
                ask()


def test_another_tenants_audience_in_ones_own_clearance_opens_nothing(office: Office) -> None:
    other = make_office()
    other.publish(Passage("harbor", unit(0)))
    with tenant_scope(other.tenant_id):
        audiences = clearance_for(member_id=other.alice).audience_ids

    with tenant_scope(office.tenant_id):
        forged = Clearance(office.tenant_id, office.alice, audiences)
        assert _search(forged) == []
        assert list_documents(clearance=forged, after=None, limit=10) == []


@pytest.mark.parametrize("k", [0, -1, search_module.MAX_K + 1])
def test_a_k_out_of_bounds_is_nothing(office: Office, k: int) -> None:
    office.publish(Passage("harbor", unit(0)))

    assert office.ask(office.bob, "harbor", unit(0), k=k) == []


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_results_are_byte_equal_whatever_others_hold(office: Office, mode: Mode) -> None:
    vectors = random_vectors(40, seed=6)
    office.publish(*_passages(vectors, word="harbor crane"))
    question = random_vectors(1, seed=7)[0]
    before = [astuple(p) for p in office.ask(office.bob, "harbor crane 3", question, mode=mode)]
    assert len(before) == 10

    # Near-duplicates of the question and of the passages, in another audience and another tenant.
    hidden = make_own_collection(office)
    near = [Passage("harbor crane 3", question) for _ in range(20)]
    office.publish(*near, *_passages(vectors, word="harbor crane"), collection_id=hidden)
    office.publish(*near, grants=[grant("owner", member=office.alice)])
    other = make_office()
    other.publish(*near, *_passages(vectors, word="harbor crane"))

    after = [astuple(p) for p in office.ask(office.bob, "harbor crane 3", question, mode=mode)]
    assert after == before
