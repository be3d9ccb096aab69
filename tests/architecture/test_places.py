"""Every table of tenants, and every holding, ends with its tenant or says why it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import models

from ambit.erasure.places import PLACES, STAYS, Place, tables
from ambit.erasure.registry import HOLDINGS, TABLES
from tests.architecture.reach import reached
from tests.architecture.test_verified_apart import TOOLS

OF_TENANTS = {
    model._meta.db_table
    for model in apps.get_models(include_auto_created=True)
    if any(f.name == "tenant_id" and isinstance(f, models.UUIDField) for f in model._meta.fields)
}
# They run what they are given, or name the tenant.
ALSO = {
    "ambit.audit.closing._count",
    "ambit.erasure.ending._number",
    "ambit.erasure.rows._number",
    "tenants.holding.Scope",
    "tenants.scope.NoTenantScope",
    "tenants.scope.current_tenant_id",
}
# Holdings that are no table of tenants, and the place that takes each along.
ELSEWHERE = {name: name for name in ("originals", "queue", "model_cache", "sessions")}


def test_every_table_of_tenants_ends_or_stays_for_a_reason() -> None:
    ends = list(tables())

    assert len(ends) == len(set(ends))
    assert set(ends).isdisjoint(STAYS)
    assert {*ends, *STAYS} == OF_TENANTS, (
        "Add the table to PLACES of ambit/erasure/places.py, or say in STAYS why its rows stay when a tenant ends."
    )
    assert all(why.strip() for why in STAYS.values())


def test_every_holding_ends_with_its_tenant() -> None:
    names = {place.name for place in PLACES}
    for holding in HOLDINGS:
        held = {name for name, table in TABLES.items() if holding in table.held_by}

        assert ELSEWHERE.get(holding.name) in names or held & set(tables()), (
            f"{holding.name}: no place of ambit/erasure/places.py takes it along when its tenant ends."
        )


def test_what_opens_ciphertext_goes_last() -> None:
    assert PLACES[-1].name == "wrapping_key"


def test_places_have_names_of_their_own_and_words_for_a_certificate() -> None:
    names = [place.name for place in PLACES]

    assert len(set(names)) == len(names)
    for place in PLACES:
        assert len(place.name) <= 40
        for words in (place.title, place.found_by, place.destroyed_by, place.verified_by):
            assert words.strip()
            assert not words.endswith(".")
        assert place.verified_by not in {place.found_by, place.destroyed_by}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_place_is_verified_by_another_route_than_it_finds_and_destroys_by(place: Place) -> None:
    ways: list[Callable[..., object]] = [place.find]
    if place.destroy is not None:
        ways.append(place.destroy)
    shared = set().union(*map(reached, ways)) & reached(place.remains)

    assert shared <= ALSO | TOOLS, (
        f"{place.name}: `remains` goes through {sorted(shared - TOOLS - ALSO)} as well."
    )
