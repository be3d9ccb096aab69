"""Rotation of wrapping keys: everything still opens, the old key opens nothing, and nothing comes back."""

from __future__ import annotations

import io
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from ambit.corpus.models import DocumentKey
from ambit.keys.durable import alone
from ambit.keys.keyring import KeyUnavailable, tenant_keys
from ambit.keys.sealing import new_data_key, open_data_key
from ambit.rotation.flow import Rotated, StillInUse, retire
from ambit.rotation.registry import WRAPPED
from tenants.audit import acting_as
from tenants.queries import get_tenant
from tenants.scope import NoTenantScope, WrongTenantScope
from tests.database.erasures import (
    Town,
    file,
    inhabit,
    view_of,
    work_on,
)
from tests.database.private import PrivateDatabase
from tests.database.rotating import (
    OPERATOR,
    inhabit_with_every_key,
    like_wrapped_by,
    opened,
    retire_old,
    told_of_keys,
    turn,
)
from tests.database.worlds import make_tenant, working

PLACES = {f"{place.table}.{place.column}" for place in WRAPPED}


@pytest.fixture(scope="module")
def full(_database: None) -> Town:
    """Have a tenant with a data key in every place."""
    return inhabit_with_every_key()


def _slug(tenant_id: UUID) -> str:
    with working(tenant_id):
        return get_tenant().slug


def _key_file(tenant_id: UUID) -> Path:
    return Path(settings.AMBIT_KEYRING_DIR) / f"{tenant_id}.json"


def _command(*args: str) -> tuple[str, str, bool]:
    """Run the command; return what it said, what it complained of and whether it went well."""
    said, complained = io.StringIO(), io.StringIO()
    try:
        call_command("rotate_keys", *args, stdout=said, stderr=complained)
    except CommandError as error:
        return said.getvalue(), f"{complained.getvalue()}{error}", False
    return said.getvalue(), complained.getvalue(), True


def test_everything_opens_after_a_rotation_and_nothing_lies_under_the_old_key(
    full: Town, superuser: psycopg.Connection
) -> None:
    before = opened(full)
    old = tenant_keys(full.tenant_id).current
    found = like_wrapped_by(superuser, full.tenant_id, old)
    assert set(found) == PLACES, "the tenant of this test lacks a place, or the registry does"
    older = tuple(sorted(tenant_keys(full.tenant_id).wrapping))
    n_events = len(told_of_keys(full.tenant_id))

    done = turn(full.tenant_id)
    gone = retire_old(full.tenant_id)

    assert (done.version, done.n_unopened, gone) == (old + 1, 0, older)
    assert done.n_rewrapped == sum(found.values())
    assert like_wrapped_by(superuser, full.tenant_id, old) == {}
    assert like_wrapped_by(superuser, full.tenant_id, old + 1) == found
    assert opened(full) == before
    assert set(tenant_keys(full.tenant_id).wrapping) == {old + 1}
    told = told_of_keys(full.tenant_id)[n_events:]
    assert (told[0].action, told[-1].action) == ("keys.rotated", "keys.retired")
    assert sum(sum(one.counts.values()) for one in told[1:-1]) == done.n_rewrapped


def test_a_copy_of_a_data_key_from_before_opens_nothing_once_the_old_key_is_destroyed(
    full: Town,
) -> None:
    with working(full.tenant_id, custody=True):
        row = DocumentKey.objects.get(document_id=full.about_bob)
        backup = bytes(row.wrapped)
    turn(full.tenant_id)
    assert open_data_key(backup, tenant_id=full.tenant_id, object_id=full.about_bob)

    retire_old(full.tenant_id)

    with pytest.raises(KeyUnavailable):
        open_data_key(backup, tenant_id=full.tenant_id, object_id=full.about_bob)


def test_other_tenants_are_left_alone(full: Town, superuser: psycopg.Connection) -> None:
    other = inhabit(n_chunks=1)
    before, rows = opened(other), like_wrapped_by(superuser, other.tenant_id, 1)

    turn(full.tenant_id)
    retire_old(full.tenant_id)

    assert tenant_keys(other.tenant_id).current == 1
    assert like_wrapped_by(superuser, other.tenant_id, 1) == rows
    assert opened(other) == before


def test_without_retiring_the_old_key_stays(full: Town) -> None:
    old = tenant_keys(full.tenant_id).current

    turn(full.tenant_id)

    assert {old, old + 1} <= set(tenant_keys(full.tenant_id).wrapping)


def test_what_is_hashed_is_found_as_before(full: Town) -> None:
    hashing = tenant_keys(full.tenant_id).hashing

    turn(full.tenant_id)

    assert tenant_keys(full.tenant_id).hashing == hashing


def test_a_machine_that_may_not_have_seen_the_new_key_is_waited_for(full: Town) -> None:
    turn(full.tenant_id)
    added = tenant_keys(full.tenant_id).added_at[tenant_keys(full.tenant_id).current]

    with acting_as(OPERATOR):
        retire(full.tenant_id, seen_by_all_s=2)

    assert time.time() >= added + 2


def test_a_lost_key_is_an_error_that_names_the_tenant_and_the_others_go_on(
    bare: PrivateDatabase,
) -> None:
    # In a database with few tenants, of which all are rotated.
    lost, damaged, fine = inhabit(n_chunks=1), inhabit(n_chunks=1), inhabit(n_chunks=1)
    aside = _key_file(lost.tenant_id).rename(_key_file(lost.tenant_id).with_suffix(".aside"))
    whole = _key_file(damaged.tenant_id).read_text()
    _key_file(damaged.tenant_id).write_text(whole[:40])
    try:
        said, complained, went_well = _command()
    finally:
        aside.rename(_key_file(lost.tenant_id))
        _key_file(damaged.tenant_id).write_text(whole)

    assert went_well is False
    assert f"{_slug(lost.tenant_id)}: " in complained
    assert f"{_slug(damaged.tenant_id)}: " in complained
    assert f"{_slug(fine.tenant_id)}: key 2" in said
    assert tenant_keys(lost.tenant_id).current == 1


def test_a_data_key_that_does_not_open_is_told_and_keeps_the_old_key(full: Town) -> None:
    town = inhabit(n_chunks=1)
    with working(town.tenant_id, custody=True):
        row = DocumentKey.objects.get(document_id=town.about_bob)
        altered = bytes(row.wrapped)[:-1] + bytes([bytes(row.wrapped)[-1] ^ 1])
        DocumentKey.objects.filter(pk=row.pk).update(wrapped=altered)

    _, complained, went_well = _command("--tenant", _slug(town.tenant_id), "--retire", "--wait=0")

    assert went_well is False
    assert "1 data keys do not open" in complained
    assert set(tenant_keys(town.tenant_id).wrapping) == {1, 2}
    with acting_as(OPERATOR), pytest.raises(StillInUse, match="do not open"):
        retire(town.tenant_id, seen_by_all_s=0)
    assert set(tenant_keys(town.tenant_id).wrapping) == {1, 2}
    # It does not keep the next rotation from the others.
    assert turn(town.tenant_id).version == 3


def test_the_command_does_one_tenant_and_says_what(full: Town) -> None:
    version = tenant_keys(full.tenant_id).current + 1
    older = sorted(tenant_keys(full.tenant_id).wrapping)

    said, complained, went_well = _command(
        "--tenant", _slug(full.tenant_id), "--retire", "--wait=0"
    )

    assert (went_well, complained) == (True, "")
    assert f"{_slug(full.tenant_id)}: key {version}, " in said
    assert f"destroyed key {', '.join(str(n) for n in older)}" in said
    assert len(said.splitlines()) == 2


def test_the_command_refuses_what_it_cannot_do(full: Town) -> None:
    assert _command("--tenant", "nobody")[1:] == ("There is no tenant nobody.", False)
    with alone(Path(settings.AMBIT_KEYRING_DIR)):
        _, complained, went_well = _command("--tenant", _slug(full.tenant_id))

    assert (went_well, "another command" in complained) == (False, True)


def test_a_tenant_without_keys_and_without_anything_sealed_needs_none() -> None:
    tenant_id = make_tenant()
    _key_file(tenant_id).unlink()

    assert turn(tenant_id) == Rotated(0, 0, 0)
    assert not _key_file(tenant_id).exists()


def test_a_data_key_is_made_in_its_tenants_transaction_alone(full: Town) -> None:
    # What rotation waits for.
    with pytest.raises(NoTenantScope):
        new_data_key(tenant_id=full.tenant_id, object_id=full.about_bob)
    with working(make_tenant()), pytest.raises(WrongTenantScope):
        new_data_key(tenant_id=full.tenant_id, object_id=full.about_bob)


def test_a_case_whose_reason_was_wrapped_anew_is_closed_as_ever() -> None:
    town = inhabit(n_chunks=1)
    case_id = file(town.tenant_id, documents=[town.about_bob]).id
    assert case_id is not None
    turn(town.tenant_id)
    retire_old(town.tenant_id)

    assert work_on(town.tenant_id, case_id).state == "closed"
    assert view_of(town.tenant_id, case_id).reason == "Art. 17 GDPR"
