"""Rotation beside uploads, erasures and a kill: nothing is lost, and nothing comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections

from ambit.corpus.models import Document, DocumentKey
from ambit.keys.keyring import add_wrapping_key, tenant_keys
from ambit.keys.sealing import open_data_key
from ambit.rotation import flow
from ambit.rotation.flow import StillInUse
from ambit.rotation.rewrap import rewrap_batch
from tenants.audit import acting_as
from tenants.scope import custody_scope
from tests.architecture.sources import ROOT
from tests.database.erasures import (
    Town,
    file,
    inhabit,
    keep_from_workers,
    seen_by,
    work_on,
)
from tests.database.readers import Begin
from tests.database.rotating import (
    OPERATOR,
    like_wrapped_by,
    opened,
    retire_old,
    turn,
)
from tests.database.worlds import Passage, publish, unit, working


def test_an_erased_documents_key_does_not_come_back(
    superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Erased between the moment its batch was looked for and the next.
    town = inhabit(n_chunks=1)
    own: Any = rewrap_batch
    erased: list[UUID] = []

    def erase_first(*args: Any, **named: Any) -> Any:
        if not erased:
            erased.append(town.about_bob)
            in_thread = threading.Thread(target=_erase, args=(town, [town.about_bob]))
            # Not from inside this transaction.
            in_thread.start()
            in_thread.join()
        return own(*args, **named)

    monkeypatch.setattr(flow, "rewrap_batch", erase_first)
    turn(town.tenant_id)
    retire_old(town.tenant_id)

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
    turn(town.tenant_id)
    with pytest.raises(StillInUse, match="transaction"):
        retire_old(town.tenant_id, patience_s=0.5)
    assert set(tenant_keys(town.tenant_id).wrapping) == {1, 2}
    go_on.set()
    document_id = other.result()

    assert retire_old(town.tenant_id) == (1,)

    with working(town.tenant_id):
        texts = {p.text for p in seen_by(town.bob) if p.document_id == document_id}
    assert texts == {"a late harbor"}


def test_uploads_and_erasures_go_on_while_keys_are_rotated(superuser: psycopg.Connection) -> None:
    town = inhabit(n_chunks=1)
    over = threading.Event()
    faults: list[Exception] = []
    made: list[UUID] = []

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
        turn(town.tenant_id)
        retire_old(town.tenant_id)
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
    done = turn(town.tenant_id)
    retire_old(town.tenant_id)

    # The key that the killed one had added is used, and no further one made.
    assert (done.version, done.n_rewrapped) == (2, sum(found.values()) - n_rows)
    assert set(tenant_keys(town.tenant_id).wrapping) == {2}
    assert opened(town) == before
