"""The trail is signed, copied where the database's administrator does not write, and lets go of what is old."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone
from psycopg.errors import RaiseException
from pytest_django.fixtures import Settings

from ambit.audit.copies import copy_checkpoints, folder_of
from ambit.audit.flow import keep_trail, trail_signer
from ambit.audit.models import Checkpoint, Leaf, Log
from ambit.audit.retention import erase_old_values
from ambit.audit.verify import NOTE_END, Key
from ambit.keys.keyring import KeyUnavailable
from ambit.keys.signing import FILE, make_signing_key
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.audit.trails import add_events, checked, exported
from tests.database.private import PrivateDatabase
from tests.database.worlds import make_tenant


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the key that signs all that this module does."""
    return tmp_path_factory.mktemp("keyring")


@pytest.fixture
def tenant_id(
    private: PrivateDatabase, settings: Settings, keyring: Path, tmp_path: Path
) -> Iterator[UUID]:
    """Return a fresh tenant in a database where nothing else is signed."""
    settings.AMBIT_KEYRING_DIR = keyring
    settings.AMBIT_AUDIT_COPIES_DIR = tmp_path / "outside"
    # As after a start; in this database others may have signed before.
    make_signing_key()
    with private.in_use():
        yield make_tenant()


def the_key() -> Key:
    return Key.read(trail_signer().key)


def copies(tenant_id: UUID) -> list[str]:
    """Return the notes that stand outside."""
    texts = [path.read_text() for path in sorted(folder_of(tenant_id).glob("*.notes"))]
    return [note for text in texts for note in text.split(NOTE_END) if note]


def signed(tenant_id: UUID) -> list[str]:
    """Return the notes in the database."""
    with tenant_scope(tenant_id):
        notes = Checkpoint.objects.order_by("size").values_list("note", flat=True)
        return [note.rstrip("\n") for note in notes]


def test_a_round_numbers_signs_and_copies(tenant_id: UUID, tmp_path: Path) -> None:
    for n in (3, 1200):
        add_events(tenant_id, n)
        assert keep_trail().n_events >= n

    report = checked(exported(tenant_id, tmp_path / "export"), the_key(), folder_of(tenant_id))

    assert report.faults == []
    assert report.n_signed == report.n_events > 1200
    assert copies(tenant_id) == signed(tenant_id)
    assert not keep_trail()
    with tenant_scope(tenant_id):
        log = Log.objects.get()
    assert log.copied_size == log.size
    assert log.copied_at is not None


def test_without_the_key_events_wait_and_no_new_key_is_made(tenant_id: UUID, keyring: Path) -> None:
    add_events(tenant_id, 1)
    keep_trail()
    aside = (keyring / FILE).rename(keyring / "aside")
    add_events(tenant_id, 2)

    with pytest.raises(KeyUnavailable):
        keep_trail()
    (keyring / FILE).write_text(aside.read_text()[:20])
    with pytest.raises(KeyUnavailable):
        keep_trail()
    aside.rename(keyring / FILE)

    assert keep_trail().n_events == 2


def test_the_key_is_closed_to_others(tenant_id: UUID, keyring: Path) -> None:
    keep_trail()

    assert (keyring / FILE).stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_copied_stays_due(
    tenant_id: UUID, settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    settings.AMBIT_AUDIT_COPIES_DIR = blocked
    add_events(tenant_id, 1)
    with caplog.at_level(logging.ERROR):
        assert keep_trail().n_copied == 0
    assert [record.getMessage() for record in caplog.records] == ["audit.copy_failed"] * len(
        caplog.records
    )
    add_events(tenant_id, 1)
    keep_trail()

    settings.AMBIT_AUDIT_COPIES_DIR = tmp_path / "outside"

    assert copy_checkpoints() >= 2
    assert copies(tenant_id) == signed(tenant_id)


def test_a_copy_that_was_cut_off_is_written_whole_after_it(tenant_id: UUID, tmp_path: Path) -> None:
    add_events(tenant_id, 1)
    keep_trail()
    (path,) = folder_of(tenant_id).iterdir()
    os.truncate(path, path.stat().st_size - 40)
    with connections["sequencer"].cursor() as cursor:
        cursor.execute("UPDATE audit_log SET copied_size = 0 WHERE tenant_id = %s", [tenant_id])

    assert copy_checkpoints() == 1

    assert len(copies(tenant_id)) == 2
    assert copies(tenant_id)[1] == signed(tenant_id)[0]
    folder = exported(tenant_id, tmp_path / "export")
    assert checked(folder, the_key(), folder_of(tenant_id)).faults == []


@pytest.mark.parametrize("missing", [[1], [2], [3], [40], [200], [60, 250]])
def test_however_a_copy_was_cut_off_it_is_no_fault(
    tenant_id: UUID, tmp_path: Path, missing: list[int]
) -> None:
    for _ in range(2):
        add_events(tenant_id, 1)
        keep_trail()
    (path,) = folder_of(tenant_id).iterdir()
    for n_bytes in missing:
        os.truncate(path, path.stat().st_size - n_bytes)
        with connections["sequencer"].cursor() as cursor:
            cursor.execute("UPDATE audit_log SET copied_size = 0 WHERE tenant_id = %s", [tenant_id])
        copy_checkpoints()

    folder = exported(tenant_id, tmp_path / "export")
    assert checked(folder, the_key(), folder_of(tenant_id)).faults == []


def test_a_clock_that_was_put_back_does_not_disorder_what_is_signed(
    tenant_id: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_events(tenant_id, 1)
    keep_trail()
    earlier = timezone.now() - timedelta(days=1)
    add_events(tenant_id, 1)
    monkeypatch.setattr("ambit.audit.sequence.timezone.now", lambda: earlier)
    keep_trail()

    with tenant_scope(tenant_id):
        first, second = Checkpoint.objects.order_by("size")
    assert first.at == second.at


def test_old_values_go_and_the_trail_stays_proved(tenant_id: UUID, tmp_path: Path) -> None:
    add_events(tenant_id, 2500)
    keep_trail()
    boundary = timezone.now()
    add_events(tenant_id, 5)

    assert erase_old_values(before=boundary) >= 2500
    assert erase_old_values(before=boundary) == 0
    keep_trail()

    report = checked(exported(tenant_id, tmp_path / "export"), the_key())
    assert report.faults == []
    assert report.n_erased == 2 * (report.n_events - 5)
    with tenant_scope(tenant_id):
        young = AuditEvent.objects.filter(at__gte=boundary)
        assert young.count() == 5
        old = AuditEvent.objects.filter(at__lt=boundary)
        assert not old.exclude(actor_id=None, object_id=None, request_id=None).exists()
        assert not old.exclude(document_ids=[], chunk_ids=[]).exists()


def test_what_the_tree_has_not_is_not_let_go(tenant_id: UUID) -> None:
    add_events(tenant_id, 3)

    erase_old_values(before=timezone.now() + timedelta(days=1))
    keep_trail()
    with tenant_scope(tenant_id):
        assert Leaf.objects.count() == AuditEvent.objects.count()


def test_after_a_restore_from_a_dump_no_event_is_left_out(
    private: PrivateDatabase, tenant_id: UUID
) -> None:
    """Its transactions are numbered from the start again: marks and events are of ones to come."""
    add_events(tenant_id, 2)
    keep_trail()
    with private.superuser() as superuser:
        superuser.execute("UPDATE audit_watermark SET xact = '9000000000'")
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "INSERT INTO tenants_auditevent"
            " (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids, counts, xact)"
            " SELECT gen_random_uuid(), %s, now(), 'worker', 'search', '{}', '{}', '{}', '8000000000'"
            " FROM generate_series(1, 1500)",
            [tenant_id],
        )
    add_events(tenant_id, 2)

    assert keep_trail().n_events == 1502
    add_events(tenant_id, 1)
    assert keep_trail().n_events == 1
    with tenant_scope(tenant_id):
        assert Leaf.objects.count() == AuditEvent.objects.count()


def test_no_event_can_stop_the_log(
    private: PrivateDatabase, tenant_id: UUID, tmp_path: Path
) -> None:
    with private.superuser() as superuser:
        superuser.execute(
            _PLANTED
            + " VALUES (gen_random_uuid(), %s, now(), E'\\x01', E'\\u2028', '{}', '{}', %s)",
            [tenant_id, json.dumps({"n": [[[1]]], "words": "\u2028"})],
        )
    add_events(tenant_id, 1)

    assert keep_trail().n_events >= 2
    assert checked(exported(tenant_id, tmp_path / "export"), the_key()).faults == []


_PLANTED = (
    "INSERT INTO tenants_auditevent"
    " (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids, counts)"
)


@pytest.mark.parametrize("at", ["infinity", "-infinity", "2200-01-01", "1970-01-01"])
def test_an_event_of_another_time_is_refused(
    private: PrivateDatabase, tenant_id: UUID, at: str
) -> None:
    with private.superuser() as superuser, pytest.raises(RaiseException, match="happens now"):
        superuser.execute(
            _PLANTED + " VALUES (gen_random_uuid(), %s, %s, 'worker', 'x', '{}', '{}', '{}')",
            [tenant_id, at],
        )


@pytest.mark.parametrize("salt", ["who_salt", "what_salt"])
def test_an_event_without_a_salt_is_refused(
    private: PrivateDatabase, tenant_id: UUID, salt: str
) -> None:
    with private.superuser() as superuser, pytest.raises(RaiseException, match="two salts"):
        superuser.execute(
            f"{_PLANTED[:-1]}, {salt})"
            " VALUES (gen_random_uuid(), %s, now(), 'worker', 'x', '{}', '{}', '{}', NULL)".encode(),
            [tenant_id],
        )


def test_an_event_takes_the_number_of_its_own_transaction(
    private: PrivateDatabase, tenant_id: UUID
) -> None:
    with private.superuser() as superuser:
        superuser.execute(
            f"{_PLANTED[:-1]}, xact)"
            " VALUES (gen_random_uuid(), %s, now(), 'worker', 'x', '{}', '{}', '{}', '7')".encode(),
            [tenant_id],
        )

    assert keep_trail().n_events >= 2
    with tenant_scope(tenant_id):
        assert Leaf.objects.count() == AuditEvent.objects.count()


def test_what_waited_for_its_signature_for_a_day_is_none_the_worse(
    private: PrivateDatabase, tenant_id: UUID, tmp_path: Path
) -> None:
    with private.superuser() as superuser:
        # Nothing of the tenant is signed yet; all that happened was a day ago.
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "UPDATE tenants_auditevent SET at = at - interval '1 day' WHERE tenant_id = %s",
            [tenant_id],
        )
        superuser.execute("RESET session_replication_role")
        superuser.execute(
            _PLANTED  # noqa: S608 - ours
            + " SELECT gen_random_uuid(), %s, now() - interval '23 hours' + n * interval '1 second',"
            " 'worker', 'x', '{}', '{}', '{}' FROM generate_series(1, 2500) n",
            [tenant_id],
        )

    assert keep_trail().n_checkpoints >= 3
    add_events(tenant_id, 1)
    keep_trail()

    assert checked(exported(tenant_id, tmp_path / "export"), the_key()).faults == []
