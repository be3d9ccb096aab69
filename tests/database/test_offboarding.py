"""A tenant ends: nobody of it is let in, everything of it is destroyed and certified, and neighbours keep theirs."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError

from ambit.corpus.canary import CANARY_TENANT
from ambit.erasure.ending import closed_slug
from ambit.erasure.offboarding import HoldsOpen, NotOffboarded, SlugMismatch
from ambit.erasure.places import PLACES, STAYS
from ambit.keys.keyring import KeyUnavailable, tenant_keys
from tenants.models import ApiKey, Tenant
from tenants.queries import KeyRefused, TenantNotFound, key_holder
from tenants.scope import tenant_scope
from tenants.secrets import parse_key
from tenants.services import create_service_key
from tests.database.erasures import documents_seen, inhabit, redis
from tests.database.holding import hold, release
from tests.database.offboardings import (
    begin,
    certificate_of,
    full_town,
    rows_by_table,
    slug_of,
    state_of,
    try_once,
    work_to_the_end,
)
from tests.database.worlds import make_member, make_tenant, working

# There is none before a tenant has ten thousand chunks: tests/database/test_graphs.py has some.
EMPTY = {"vector_graph"}


def _files(tenant_id: UUID) -> list[Path]:
    root = Path(settings.AMBIT_ORIGINALS_DIR) / str(tenant_id)
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []


def test_everything_of_a_tenant_goes_and_its_neighbour_keeps_everything(
    superuser: psycopg.Connection,
) -> None:
    town, neighbour = full_town(), full_town()
    slug = slug_of(town.tenant_id)
    before, files = rows_by_table(superuser, neighbour.tenant_id), _files(neighbour.tenant_id)
    seen = documents_seen(neighbour)
    own = redis().keys(f"calls:{neighbour.bob}")
    assert seen and files and own

    begin(town.tenant_id)
    shown = work_to_the_end(town.tenant_id)

    left = rows_by_table(superuser, town.tenant_id)
    assert set(left) <= set(STAYS)
    assert not _files(town.tenant_id)
    assert not redis().keys(f"calls:{town.bob}")
    with pytest.raises(KeyUnavailable):
        tenant_keys(town.tenant_id)
    row = Tenant.objects.using("operator").get(pk=town.tenant_id)
    assert (row.name, row.slug) == ("", closed_slug(town.tenant_id, slug))
    assert row.closed_at == shown.closed_at
    assert shown.closed_at is not None
    after = rows_by_table(superuser, neighbour.tenant_id)
    # What was seen has left an event.
    assert {**after, **_trail(after)} == {**before, **_trail(after)}
    assert (_files(neighbour.tenant_id), documents_seen(neighbour)) == (files, seen)
    assert redis().keys(f"calls:{neighbour.bob}") == own
    assert tenant_keys(neighbour.tenant_id)


def _trail(rows: dict[str, int]) -> dict[str, int]:
    return {t: n for t, n in rows.items() if t.startswith("audit_") or t == "tenants_auditevent"}


def test_the_certificate_counts_every_place_and_says_what_stays(
    superuser: psycopg.Connection,
) -> None:
    town = full_town()
    before = rows_by_table(superuser, town.tenant_id)

    begin(town.tenant_id)
    work_to_the_end(town.tenant_id)

    said = certificate_of(town.tenant_id)
    assert (said["outcome"], said["complete"], said["left"]) == ("off-boarded", True, [])
    places = {one["name"]: one for one in said["holdings"]}
    assert list(places) == [place.name for place in PLACES]
    found = {name for name, one in places.items() if one["found"]}
    assert found == {place.name for place in PLACES} - EMPTY
    for name, one in places.items():
        assert one["destroyed"] == one["found"], name
        assert one["remaining"] == 0, name
    # Sessions and jobs of others aside, what was counted is what was there.
    tables = {p.table for p in PLACES if p.table}
    assert {t: places[t]["found"] for t in tables} == {t: before.get(t, 0) for t in tables}
    assert {one["what"] for one in said["kept"]} <= set(STAYS)
    assert said["scrub"]["log_position"]
    states = [one["state"] for one in said["states"]]
    assert [s for s in states if s != "incomplete"] == [
        "received",
        "hidden",
        "scoped",
        "shredded",
        "scrubbed",
        "verified",
        "closed",
    ]


def test_what_a_tenant_is_called_is_typed_again(superuser: psycopg.Connection) -> None:
    town = inhabit()
    before = rows_by_table(superuser, town.tenant_id)

    for typed in ("", "another", f"{slug_of(town.tenant_id)}x", str(town.tenant_id)):
        with pytest.raises(SlugMismatch):
            begin(town.tenant_id, slug=typed)

    assert rows_by_table(superuser, town.tenant_id) == before
    with pytest.raises(NotOffboarded):
        state_of(town.tenant_id)


def test_a_tenant_that_is_not_there_and_the_canary_are_told_alike() -> None:
    for tenant_id in (UUID(int=7), CANARY_TENANT):
        with pytest.raises(TenantNotFound):
            begin(tenant_id, slug="canary")
        with pytest.raises(TenantNotFound):
            state_of(tenant_id)


def test_open_holds_keep_a_tenant_and_are_counted() -> None:
    town = inhabit()
    first = hold(town, documents=[town.about_bob])
    second = hold(town, documents=[town.about_alice[0]])

    for n, kept in ((2, first), (1, second)):
        with pytest.raises(HoldsOpen) as refused:
            begin(town.tenant_id)
        assert refused.value.n == n
        release(town, kept)

    assert begin(town.tenant_id).state == "hidden"


def test_from_the_commit_on_keys_are_refused_and_nothing_new_is_stored() -> None:
    town = inhabit()
    with working(town.tenant_id):
        text = create_service_key(name="service", scopes=["search"]).text
    presented = parse_key(text)
    assert presented is not None
    with tenant_scope(town.tenant_id):
        assert key_holder(presented)

    begin(town.tenant_id)

    with tenant_scope(town.tenant_id), pytest.raises(KeyRefused):
        key_holder(presented)
    with pytest.raises(DatabaseError, match="takes no new row"), working(town.tenant_id):
        make_member()
    with tenant_scope(town.tenant_id):
        assert ApiKey.objects.exists()


def test_it_begins_once_and_a_second_request_shows_the_same(superuser: psycopg.Connection) -> None:
    town = inhabit()
    slug = slug_of(town.tenant_id)
    first = begin(town.tenant_id)

    assert begin(town.tenant_id).erasure_id == first.erasure_id
    closed = work_to_the_end(town.tenant_id)
    # The slug is a hash by now, and is recognised all the same.
    again = begin(town.tenant_id, slug=slug)

    assert (again.erasure_id, again.state) == (first.erasure_id, "closed")
    assert again.closed_at == closed.closed_at
    with pytest.raises(SlugMismatch):
        begin(town.tenant_id, slug="another")
    assert try_once(town.tenant_id).closed_at == closed.closed_at


def test_an_empty_tenant_ends_too() -> None:
    tenant_id = make_tenant()

    begin(tenant_id)
    work_to_the_end(tenant_id)

    said = certificate_of(tenant_id)
    assert said["complete"]
    found = {one["name"] for one in said["holdings"] if one["found"]}
    assert found == {
        "tenants_apikey",
        "tenant_record",
        "wrapping_key",
        "model_cache",
        "audit_values",
    }


def test_the_name_is_free_again() -> None:
    town = inhabit()
    slug = slug_of(town.tenant_id)
    begin(town.tenant_id)
    work_to_the_end(town.tenant_id)

    Tenant.objects.using("operator").create(name="New", slug=slug)
