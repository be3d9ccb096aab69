"""Filters narrow a search and a list to documents by what they are, before anything is ranked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.corpus.models import Document
from ambit.corpus.queries import (
    get_document,
    list_documents,
    list_documents_as_custodian,
)
from ambit.corpus.types import Filters, Mode, Scalar
from tenants.scope import tenant_scope
from tests.database.office import Office, make_office
from tests.database.worlds import Passage, grant, make_collection, random_vectors, unit, working

MODES: tuple[Mode, ...] = ("hybrid", "vector", "text")
YEAR = Filters(metadata=(("year", (2026,)),))
# The ends of time, in UTC as the API reads them.
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def office(_database: None) -> Office:
    """Return a tenant that no test here changes."""
    return make_office()


def equal(key: str, *choices: Scalar) -> Filters:
    return Filters(metadata=((key, choices),))


def found(
    office: Office, filters: Filters, *, mode: Mode = "hybrid", who: UUID | None = None
) -> Any:
    """Return the ids of the documents that a search finds."""
    passages = office.ask(who or office.bob, "harbor", unit(0), k=50, mode=mode, filters=filters)
    return {p.document_id for p in passages}


def listed(office: Office, filters: Filters) -> set[UUID]:
    with tenant_scope(office.tenant_id):
        clearance = clearance_for(member_id=office.bob)
        return {
            d.id for d in list_documents(clearance=clearance, after=None, limit=50, filters=filters)
        }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("near", [True, False])
def test_all_k_come_when_k_match_however_many_nearer_ones_do_not(mode: Mode, *, near: bool) -> None:
    office = make_office()
    # More than a search fetches before it ranks; they say the word more often, or lie nearer, or both.
    for n in range(3):
        office.publish(
            *[Passage("harbor harbor harbor", unit(0) if near else unit(1)) for _ in range(100)],
            metadata={"year": 2000 + n},
        )
    office.publish(
        *[Passage(f"harbor {n}", random_vectors(1, seed=n)[0]) for n in range(12)],
        metadata={"year": 2026},
    )

    passages = office.ask(office.bob, "harbor", unit(0), k=12, mode=mode, filters=YEAR)

    assert {p.text for p in passages} == {f"harbor {n}" for n in range(12)}


@pytest.mark.parametrize("mode", MODES)
def test_a_passage_that_either_leg_would_find_is_left_out_by_both(mode: Mode) -> None:
    office = make_office()
    office.publish(Passage("harbor", unit(0)), metadata={"year": 2025})
    kept = office.publish(Passage("harbor", unit(0)), metadata={"year": 2026})

    assert found(office, YEAR, mode=mode) == {kept}
    assert found(office, Filters(created_before=FIRST), mode=mode) == set()


VALUES: list[Any] = [1, 1.5, "1", "", True, False, "true", None, [1], {"1": 1}, 10**20]


@pytest.fixture(scope="module")
def by_value(office: Office) -> dict[str, UUID]:
    """Return a document for each value that metadata can have under a key, and one without it."""
    with_value = {
        repr(value): office.publish(
            Passage("harbor", unit(0)), metadata={"of": value, "case": "values"}
        )
        for value in VALUES
    }
    return with_value | {
        "none": office.publish(Passage("harbor", unit(0)), metadata={"case": "values"})
    }


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ((1,), ["1"]),
        ((1.0,), ["1"]),
        ((1.5,), ["1.5"]),
        (("1",), ["'1'"]),
        (("",), ["''"]),
        ((True,), ["True"]),
        ((False,), ["False"]),
        (("true",), ["'true'"]),
        (("null",), []),
        (("[1]",), []),
        ((0,), []),
        ((10**20,), [repr(10**20)]),
        ((1e20,), [repr(10**20)]),
        ((1, True), ["1", "True"]),
        ((True, 1), ["1", "True"]),
        (("1", 1.5, "x"), ["'1'", "1.5"]),
        ((*range(2, 60), 1), ["1"]),
        ((), []),
    ],
)
def test_values_are_equal_as_json_is_and_a_missing_key_is_no(
    office: Office, by_value: dict[str, UUID], choices: tuple[Scalar, ...], expected: list[str]
) -> None:
    filters = Filters(metadata=(("case", ("values",)), ("of", choices)))

    assert found(office, filters) == {by_value[name] for name in expected}
    assert listed(office, filters) == {by_value[name] for name in expected}


@pytest.mark.parametrize(
    "word",
    [
        "2026",
        "a b",
        "o'clock",
        "%s",
        "%(tenant)s",
        "{n}",
        '"',
        "\\",
        "x') OR true --",
        "Überstunden 🙂",
    ],
)
def test_a_key_and_a_value_are_taken_as_they_are(office: Office, word: str) -> None:
    document_id = office.publish(Passage("harbor", unit(0)), metadata={word: word})

    for key, value, expected in (
        (word, word, {document_id}),
        (word, "x", set()),
        ("x", word, set()),
    ):
        assert found(office, equal(key, value)) == expected
        assert listed(office, equal(key, value)) == expected


def test_every_condition_must_hold(office: Office) -> None:
    document_id = office.publish(Passage("harbor", unit(0)), metadata={"a": 1, "b": "x"})
    both = (("a", (1, 2)), ("b", ("x", "y")))

    for filters, expected in (
        (Filters(metadata=both), {document_id}),
        (Filters(metadata=(*both, ("c", (1,)))), set()),
        (Filters(metadata=(*both, ("b", ("y",)))), set()),
        (Filters((office.collection_id,), both, created_after=FIRST), {document_id}),
        (Filters((office.tenant_id,), both), set()),
        (Filters(metadata=both, created_before=FIRST), set()),
        (Filters(metadata=both, updated_after=LAST), set()),
    ):
        assert found(office, filters) == expected
        assert listed(office, filters) == expected


def test_a_span_of_time_begins_with_its_start_and_ends_before_its_end() -> None:
    office = make_office()
    document_id = office.publish(Passage("harbor", unit(0)))
    with tenant_scope(office.tenant_id):
        document = get_document(
            document_id=document_id, clearance=clearance_for(member_id=office.bob)
        )
    tick = timedelta(microseconds=1)
    spans: list[Callable[[datetime | None, datetime | None], Filters]] = [
        lambda after, before: Filters(created_after=after, created_before=before),
        lambda after, before: Filters(updated_after=after, updated_before=before),
    ]

    assert document.updated_at > document.created_at
    for span, at in zip(spans, (document.created_at, document.updated_at), strict=True):
        for after, before, within in (
            (at, None, True),
            (at, at + tick, True),
            (FIRST, LAST, True),
            (at + tick, None, False),
            (None, at, False),
            (None, at + tick, True),
            (at - tick, at, False),
        ):
            expected = {document_id} if within else set()
            assert found(office, span(after, before)) == expected, (after, before)
            assert listed(office, span(after, before)) == expected, (after, before)


def test_a_filter_never_widens_what_may_be_seen() -> None:
    office = make_office()
    with working(office.tenant_id):
        hidden = make_collection(grant("owner", member=office.alice))
    alices = office.publish(
        Passage("harbor", unit(0)), collection_id=hidden, metadata={"year": 2026}
    )
    other = make_office()
    other.publish(Passage("harbor", unit(0)), metadata={"year": 2026})

    assert found(office, YEAR, who=office.alice) == {alices}
    assert found(office, YEAR) == listed(office, YEAR) == set()
    assert found(office, YEAR, who=office.carol) == set()


def test_what_a_deleted_document_held_is_found_by_nobody_custodians_included() -> None:
    office = make_office()
    document_id = office.publish(Passage("harbor", unit(0)), metadata={"year": 2026})

    def kept(filters: Filters) -> set[UUID]:
        with tenant_scope(office.tenant_id):
            return {d.id for d in list_documents_as_custodian(after=None, limit=9, filters=filters)}

    assert found(office, YEAR) == listed(office, YEAR) == kept(YEAR) == {document_id}
    with working(office.tenant_id):
        delete_document(clearance=clearance_for(member_id=office.alice), document_id=document_id)

    # Its record stays with the administrators until it is destroyed; its metadata is not shown them.
    assert kept(Filters()) == {document_id}
    assert found(office, YEAR) == listed(office, YEAR) == kept(YEAR) == set()
    with tenant_scope(office.tenant_id, custody=True):
        assert Document.objects.get(pk=document_id).metadata == {"year": 2026}
