"""Rotation of wrapping keys: everything still opens, the old key opens nothing, and nothing comes back."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

from ambit.corpus.models import Document, DocumentKey
from ambit.keys.durable import alone
from ambit.keys.keyring import KeyUnavailable, add_wrapping_key, tenant_keys
from ambit.keys.sealing import new_data_key, open_data_key
from ambit.rotation import flow
from ambit.rotation.flow import Rotated, StillInUse, retire, rotate
from ambit.rotation.registry import WRAPPED
from tenants.audit import Actor, acting_as
from tenants.queries import get_tenant
from tenants.scope import NoTenantScope, WrongTenantScope, custody_scope
from tests.architecture.sources import ROOT
from tests.database.erasures import (
    Town,
    file,
    inhabit,
    keep_from_workers,
    seen_by,
    view_of,
    work_on,
)
from tests.database.private import PrivateDatabase
from tests.database.readers import Begin
from tests.database.rotating import inhabit_with_every_key, like_wrapped_by, opened, told_of_keys
from tests.database.worlds import Passage, make_tenant, publish, unit, working

OPERATOR = Actor("operator", None)
PLACES = {f"{place.table}.{place.column}" for place in WRAPPED}


@pytest.fixture(scope="module")
def full(_database: None) -> Town:
    """Have a tenant with a data key in every place."""
    return inhabit_with_every_key()


def _turn(tenant_id: UUID) -> Rotated:
    with acting_as(OPERATOR):
        return rotate(tenant_id)


def _retire(tenant_id: UUID, *, patience_s: float = 20) -> tuple[int, ...]:
    with acting_as(OPERATOR):
        return retire(tenant_id, seen_by_all_s=0, patience_s=patience_s)


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

    done = _turn(full.tenant_id)
    gone = _retire(full.tenant_id)

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
    _turn(full.tenant_id)
    assert open_data_key(backup, tenant_id=full.tenant_id, object_id=full.about_bob)

    _retire(full.tenant_id)

    with pytest.raises(KeyUnavailable):
        open_data_key(backup, tenant_id=full.tenant_id, object_id=full.about_bob)


def test_other_tenants_are_left_alone(full: Town, superuser: psycopg.Connection) -> None:
    other = inhabit(n_chunks=1)
    before, rows = opened(other), like_wrapped_by(superuser, other.tenant_id, 1)

    _turn(full.tenant_id)
    _retire(full.tenant_id)

    assert tenant_keys(other.tenant_id).current == 1
    assert like_wrapped_by(superuser, other.tenant_id, 1) == rows
    assert opened(other) == before


def test_without_retiring_the_old_key_stays(full: Town) -> None:
    old = tenant_keys(full.tenant_id).current

    _turn(full.tenant_id)

    assert {old, old + 1} <= set(tenant_keys(full.tenant_id).wrapping)


def test_what_is_hashed_is_found_as_before(full: Town) -> None:
    hashing = tenant_keys(full.tenant_id).hashing

    _turn(full.tenant_id)

    assert tenant_keys(full.tenant_id).hashing == hashing


def test_an_erased_documents_key_does_not_come_back(
    superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Erased between the moment its batch was looked for and the next.
    town = inhabit(n_chunks=1)
    own, erased = flow.rewrap_batch, []

    def erase_first(*args: object, **named: object) -> object:
        if not erased:
            erased.append(town.about_bob)
            in_thread = threading.Thread(target=_erase, args=(town, [town.about_bob]))
            # Not from inside this transaction.
            in_thread.start()
            in_thread.join()
        return own(*args, **named)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(flow, "rewrap_batch", erase_first)
    _turn(town.tenant_id)
    _retire(town.tenant_id)

    with working(town.tenant_id, custody=True):
        assert not DocumentKey.objects.filter(document_id=town.about_bob).exists()
        assert Document.objects.get(pk=town.about_bob).erased_at is not None
    assert like_wrapped_by(superuser, town.tenant_id, 1) == {}


def _erase(town: Town, documents: list[UUID]) -> None:
    try:
        case_id = file(town.tenant_id, documents=documents).id
        assert case_id is not None
        work_on(town.tenant_id, case_id)
    finally:
        connections.close_all()


def test_a_key_that_is_being_destroyed_is_neither_waited_for_nor_written(begin: Begin) -> None:
    town = inhabit(n_chunks=1)
    deleted, go_on = threading.Event(), threading.Event()

    def destroy() -> None:
        with custody_scope():
            DocumentKey.objects.filter(document_id=town.about_bob).delete()
        deleted.set()
        assert go_on.wait(30)

    other = begin(town.tenant_id, destroy)
    assert deleted.wait(30)
    add_wrapping_key(town.tenant_id)
    with acting_as(OPERATOR):
        started = time.monotonic()
        n_done, _ = flow._pass(town.tenant_id, 2)
        took = time.monotonic() - started
        go_on.set()
        other.result()
        again, _ = flow._pass(town.tenant_id, 2)

    assert n_done > 0
    assert took < 5
    assert again == 0
    with working(town.tenant_id, custody=True):
        assert not DocumentKey.objects.filter(document_id=town.about_bob).exists()


def test_an_old_key_outlives_every_transaction_that_may_have_wrapped_by_it(begin: Begin) -> None:
    # The race that would lose a document for good: wrapped before, committed after.
    town = inhabit(n_chunks=1)
    wrapped, go_on = threading.Event(), threading.Event()

    def upload() -> UUID:
        document_id = publish(
            tenant_id=town.tenant_id,
            by=town.bob,
            collection_id=town.collection_id,
            passages=[Passage("a late harbor", unit(0))],
        )
        wrapped.set()
        assert go_on.wait(60)
        return document_id

    other = begin(town.tenant_id, upload)
    assert wrapped.wait(30)
    _turn(town.tenant_id)
    with pytest.raises(StillInUse, match="transaction"):
        _retire(town.tenant_id, patience_s=0.5)
    assert set(tenant_keys(town.tenant_id).wrapping) == {1, 2}
    go_on.set()
    document_id = other.result()

    assert _retire(town.tenant_id) == (1,)

    with working(town.tenant_id):
        texts = {p.text for p in seen_by(town.bob) if p.document_id == document_id}
    assert texts == {"a late harbor"}


def test_a_machine_that_may_not_have_seen_the_new_key_is_waited_for(full: Town) -> None:
    _turn(full.tenant_id)
    added = tenant_keys(full.tenant_id).added_at[tenant_keys(full.tenant_id).current]

    with acting_as(OPERATOR):
        retire(full.tenant_id, seen_by_all_s=2)

    assert time.time() >= added + 2


def test_uploads_and_erasures_go_on_while_keys_are_rotated(superuser: psycopg.Connection) -> None:
    town = inhabit(n_chunks=1)
    over, faults, made = threading.Event(), [], []

    def upload() -> None:
        try:
            while not over.is_set():
                with working(town.tenant_id):
                    keep_from_workers()
                made.append(
                    publish(
                        tenant_id=town.tenant_id,
                        by=town.bob,
                        collection_id=town.collection_id,
                        passages=[Passage(f"harbor {len(made)}", unit(0))],
                    )
                )
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            connections.close_all()

    uploads = threading.Thread(target=upload)
    erasures = threading.Thread(target=_erase, args=(town, list(town.about_alice)))
    for thread in (uploads, erasures):
        thread.start()
    for _ in range(3):
        _turn(town.tenant_id)
        _retire(town.tenant_id)
    erasures.join()
    over.set()
    uploads.join()

    assert faults == []
    assert len(made) > 3
    current = tenant_keys(town.tenant_id).current
    # What was uploaded last may lie under the key before, which is still there for it.
    kept = set(tenant_keys(town.tenant_id).wrapping)
    assert current in kept
    for version in range(1, current + 1):
        assert version in kept or not like_wrapped_by(superuser, town.tenant_id, version)
    with working(town.tenant_id, custody=True):
        wrapped = dict(DocumentKey.objects.values_list("document_id", "wrapped"))
    assert not wrapped.keys() & set(town.about_alice)
    assert set(made) <= wrapped.keys()
    for document_id, value in wrapped.items():
        assert open_data_key(bytes(value), tenant_id=town.tenant_id, object_id=document_id)


@pytest.fixture(scope="module")
def killer() -> Callable[[UUID, int], int]:
    """Return what lets a rotation die after so many rows, and says which signal ended it."""

    def kill(tenant_id: UUID, n_rows: int) -> int:
        command = [sys.executable, "-W", "ignore", "-m", "tests.database.dying_rotation"]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"}
        done = subprocess.run(
            [*command, str(tenant_id), str(n_rows)],
            cwd=ROOT,
            env=environment,
            timeout=120,
            check=False,
        )
        return -done.returncode

    return kill


@pytest.mark.parametrize("n_rows", [0, 4])
def test_a_killed_rotation_goes_on_where_it_was(
    killer: Callable[[UUID, int], int], superuser: psycopg.Connection, n_rows: int
) -> None:
    town = inhabit(n_chunks=1)
    before, found = opened(town), like_wrapped_by(superuser, town.tenant_id, 1)

    assert killer(town.tenant_id, n_rows) == signal.SIGKILL
    half = like_wrapped_by(superuser, town.tenant_id, 2)
    assert sum(half.values()) == n_rows
    assert opened(town) == before
    done = _turn(town.tenant_id)
    _retire(town.tenant_id)

    # The key that the killed one had added is used, and no further one made.
    assert (done.version, done.n_rewrapped) == (2, sum(found.values()) - n_rows)
    assert set(tenant_keys(town.tenant_id).wrapping) == {2}
    assert opened(town) == before


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
    assert _turn(town.tenant_id).version == 3


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

    assert _turn(tenant_id) == Rotated(0, 0, 0)
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
    _turn(town.tenant_id)
    _retire(town.tenant_id)

    assert work_on(town.tenant_id, case_id).state == "closed"
    assert view_of(town.tenant_id, case_id).reason == "Art. 17 GDPR"
