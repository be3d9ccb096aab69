"""Passages of several collections: budgets, order, one clearance."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from ambit.access.clearance import clearance_for
from ambit.answers.retrieve import MAX_ROUTES, Route, retrieve
from ambit.corpus.search import MAX_K
from ambit.corpus.types import UNFILTERED, Filters
from tenants.scope import tenant_scope
from tests.database.office import Office, make_office
from tests.database.worlds import (
    Passage,
    Vector,
    grant,
    make_collection,
    random_vectors,
    unit,
    working,
)


def towards(axis: int, cosine: float) -> Vector:
    """Return a unit vector of that similarity to an axis."""
    found: Vector = cosine * unit(axis) + np.sqrt(1 - cosine**2) * unit(axis + 1)
    return found


def shelf(office: Office, *texts: tuple[str, float], readers: tuple[UUID, ...] = ()) -> UUID:
    """Make a collection of Alice's with passages of given similarity to the first axis."""
    with working(office.tenant_id):
        collection_id = make_collection(
            grant("owner", member=office.alice), *(grant("reader", member=r) for r in readers)
        )
    office.publish(
        *(Passage(text, towards(0, near)) for text, near in texts), collection_id=collection_id
    )
    return collection_id


def along(
    office: Office,
    *routes: tuple[UUID, int],
    who: UUID | None = None,
    filters: Filters = UNFILTERED,
) -> list[Any]:
    """Ask for what is near the first axis, in no word that stands anywhere."""
    member_id = who or office.alice
    with tenant_scope(office.tenant_id, member_id=member_id):
        return retrieve(
            clearance=clearance_for(member_id=member_id),
            question="zzz",
            embedding=unit(0).tolist(),
            k=MAX_K,
            filters=filters,
            routes=[Route(*route) for route in routes],
        )


@pytest.fixture(scope="module")
def office(_database: None) -> Office:
    """Return a tenant that no test here changes but by collections of its own."""
    return make_office()


def test_the_best_of_each_come_first_and_the_nearest_of_them_before(office: Office) -> None:
    near = shelf(office, ("a1", 0.95), ("a2", 0.9), ("a3", 0.85))
    far = shelf(office, ("b1", 0.4), ("b2", 0.35), ("b3", 0.3))

    texts = [p.text for p in along(office, (far, 3), (near, 2))]

    assert texts == ["a1", "b1", "a2", "b2", "b3"]


def test_a_budget_is_kept_and_nothing_comes_from_elsewhere(office: Office) -> None:
    first = shelf(office, *((f"a{n}", 0.9 - n / 100) for n in range(9)))
    second = shelf(office, *((f"b{n}", 0.5 - n / 100) for n in range(9)))
    shelf(office, ("elsewhere", 1.0))

    found = along(office, (first, 2), (second, 4))

    assert sorted(p.text for p in found) == ["a0", "a1", "b0", "b1", "b2", "b3"]
    assert {p.collection_id for p in found} == {first, second}


def test_all_come_under_the_one_clearance(office: Office) -> None:
    shared = shelf(office, ("shared", 0.5), readers=(office.bob,))
    closed = shelf(office, ("closed", 0.9))
    elsewhere = make_office()
    foreign = shelf(elsewhere, ("foreign", 0.9))

    routes = [(closed, 5), (shared, 5), (foreign, 5), (uuid4(), 5)]

    assert [p.text for p in along(office, *routes, who=office.bob)] == ["shared"]
    assert [p.text for p in along(office, *routes)] == ["closed", "shared"]
    assert along(office, *routes, who=office.carol) == []


def test_nowhere_to_look_finds_nothing(office: Office) -> None:
    collection_id = shelf(office, ("there", 1.0))

    assert along(office) == []
    assert along(office, (collection_id, 0)) == []
    assert along(office, (collection_id, 3), filters=Filters(collection_ids=())) == []
    narrowed = Filters(collection_ids=(office.collection_id,))
    assert along(office, (collection_id, 3), filters=narrowed) == []


def test_a_passage_comes_once_and_all_are_no_more_than_can_be_asked_for(office: Office) -> None:
    vectors = random_vectors(40, seed=1)
    shelves = []
    for _ in range(2):
        with working(office.tenant_id):
            collection_id = make_collection(grant("owner", member=office.alice))
        office.publish(*(Passage("x", v) for v in vectors), collection_id=collection_id)
        shelves.append(collection_id)

    assert len(along(office, (shelves[0], 3), (shelves[0], 3))) == 3
    both = along(office, *((s, 40) for s in shelves))
    assert len(both) == MAX_K
    assert {sum(p.collection_id == s for p in both) for s in shelves} == {MAX_K // 2}


def test_routes_are_counted(office: Office) -> None:
    with pytest.raises(ValueError, match="21 routes"):
        along(office, *((uuid4(), 1) for _ in range(MAX_ROUTES + 1)))
