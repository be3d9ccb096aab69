"""Each checkpoint that was signed comes to stand in the bucket, locked; and signing waits for no bucket."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from ambit.api import health
from ambit.audit.bucket import Bucket, BucketFailed, BucketUnfit, the_bucket
from ambit.audit.flow import keep_trail, trail_signer
from ambit.audit.models import Checkpoint, Copying, Log
from ambit.audit.storing import Keeper, forget, store_checkpoints
from ambit.audit.verify import NOTE_END, Key
from ambit.config.runtime.network import free_port
from ambit.config.runtime.processes import ROOT
from ambit.keys.signing import make_signing_key
from tenants.ids import public_id
from tenants.scope import tenant_scope
from tests.audit.buckets import CREDENTIALS, REGION, Server, s3_server
from tests.audit.trails import add_events, checked, exported
from tests.cast import Api
from tests.database.private import PrivateDatabase
from tests.database.worlds import make_tenant

# Botocore's own: it asks urllib3 for a certificate's name in a way that is going away.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyring")


@pytest.fixture
def tenant_id(
    private: PrivateDatabase,
    settings: Settings,
    keyring: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[UUID]:
    """Return a fresh tenant in a database where nothing waits for a bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings.AMBIT_KEYRING_DIR = keyring
    settings.AMBIT_AUDIT_COPIES_DIR = tmp_path / "outside"
    settings.AMBIT_AUDIT_S3_REGION = REGION
    make_signing_key()
    with private.in_use():
        with connections["sequencer"].cursor() as cursor:
            cursor.execute("UPDATE audit_log SET stored_size = size")
        yield make_tenant()
        forget()


@pytest.fixture
def bucket(server: Server, settings: Settings, tenant_id: UUID) -> Bucket:
    """Return a locked bucket, which the settings name."""
    return _set(server, settings, server.bucket())


def _set(server: Server, settings: Settings, name: str, *, url: str = "") -> Bucket:
    settings.AMBIT_AUDIT_S3_BUCKET = name
    settings.AMBIT_AUDIT_S3_ENDPOINT = url or server.url
    found = the_bucket()
    assert found is not None
    return found


def sign(tenant_id: UUID, *sizes: int) -> None:
    for n in sizes:
        add_events(tenant_id, n)
        keep_trail()


def stored(server: Server, bucket: Bucket, tenant_id: UUID) -> list[str]:
    """Return the notes that stand in the bucket, in the order of its objects' names."""
    found = server.keys(bucket.name, f"ambit/{public_id('tenant', tenant_id)}/")
    texts = [server.read(bucket.name, key) for key in found]
    return [note for text in texts for note in text.split(NOTE_END) if note]


def signed(tenant_id: UUID) -> list[str]:
    with tenant_scope(tenant_id):
        notes = Checkpoint.objects.order_by("size").values_list("note", flat=True)
        return [note.rstrip("\n") for note in notes]


def log_of(tenant_id: UUID) -> Log:
    with tenant_scope(tenant_id):
        return Log.objects.get()


def test_each_checkpoint_arrives_locked_and_the_verifier_takes_the_objects(
    server: Server, bucket: Bucket, tenant_id: UUID, tmp_path: Path
) -> None:
    sign(tenant_id, 3, 2)
    assert store_checkpoints(bucket).fault == ""
    sign(tenant_id, 1200)
    assert store_checkpoints(bucket).n_copied >= 2

    assert stored(server, bucket, tenant_id) == signed(tenant_id)
    log = log_of(tenant_id)
    assert log.stored_size == log.size
    assert log.stored_at is not None
    prefix = f"ambit/{public_id('tenant', tenant_id)}/"
    kept = server.download(bucket.name, prefix, tmp_path / "kept")
    key = Key.read(trail_signer().key)
    export = exported(tenant_id, tmp_path / "export")
    assert checked(export, key, kept).faults == []
    (export / "events.jsonl").write_text(
        (export / "events.jsonl").read_text().replace('"search"', '"answer"', 1)
    )
    assert checked(export, key, kept).faults
    assert store_checkpoints(bucket).n_copied == 0


def test_nobody_removes_or_replaces_a_copy(server: Server, bucket: Bucket, tenant_id: UUID) -> None:
    sign(tenant_id, 1)
    store_checkpoints(bucket)

    (key,) = server.keys(bucket.name, f"ambit/{public_id('tenant', tenant_id)}/")
    where = {"Bucket": bucket.name, "Key": key}
    found = server.client.head_object(**where)
    assert found["ObjectLockMode"] == "COMPLIANCE"
    six_years = datetime.now(UTC) + timedelta(days=6 * 365)
    assert found["ObjectLockRetainUntilDate"] > six_years
    with pytest.raises(ClientError, match="AccessDenied"):
        server.client.delete_object(**where, VersionId=found["VersionId"])
    with pytest.raises(BucketFailed, match="Differs"):
        bucket.put(key.removeprefix(bucket.prefix), b"another")
    assert server.client.head_object(**where)["VersionId"] == found["VersionId"]


def test_what_stands_in_the_way_is_no_copy_and_keeps_nobody_else_waiting(
    server: Server, bucket: Bucket, tenant_id: UUID
) -> None:
    other = make_tenant()
    sign(tenant_id, 1)
    sign(other, 1)
    store_checkpoints(bucket)
    keys = {
        n: server.keys(bucket.name, f"ambit/{public_id('tenant', n)}") for n in (tenant_id, other)
    }
    second = _planted(server, bucket, keys[tenant_id][0], b"another")
    with connections["sequencer"].cursor() as cursor:
        cursor.execute(
            "UPDATE audit_log SET stored_size = 0 WHERE tenant_id IN (%s, %s)", [tenant_id, other]
        )

    done = store_checkpoints(second)

    assert (done.fault, done.n_behind) == ("Differs", 1)
    assert done.n_copied >= 1
    assert (log_of(tenant_id).stored_size, log_of(other).stored_size) == (0, log_of(other).size)


def test_a_copy_that_is_not_locked_is_none(server: Server, bucket: Bucket, tenant_id: UUID) -> None:
    sign(tenant_id, 1)
    store_checkpoints(bucket)
    (key,) = server.keys(bucket.name, f"ambit/{public_id('tenant', tenant_id)}/")
    second = _planted(server, bucket, key, server.read(bucket.name, key).encode())
    with connections["sequencer"].cursor() as cursor:
        cursor.execute("UPDATE audit_log SET stored_size = 0 WHERE tenant_id = %s", [tenant_id])

    assert store_checkpoints(second).fault == "NotLocked"
    assert log_of(tenant_id).stored_size == 0


def _planted(server: Server, bucket: Bucket, key: str, content: bytes) -> Bucket:
    """Return another bucket in which somebody put something before us, without a lock."""
    name = server.bucket()
    server.client.put_object(Bucket=name, Key=key, Body=content)
    return Bucket(name, bucket.prefix, bucket.mode, bucket.years, bucket.client)


def test_a_kill_before_it_was_noted_leaves_no_gap_and_no_fault(
    server: Server, bucket: Bucket, tenant_id: UUID
) -> None:
    sign(tenant_id, 2)
    store_checkpoints(bucket)
    with connections["sequencer"].cursor() as cursor:
        cursor.execute("UPDATE audit_log SET stored_size = 0 WHERE tenant_id = %s", [tenant_id])
    assert store_checkpoints(bucket).fault == ""
    with connections["sequencer"].cursor() as cursor:
        cursor.execute("UPDATE audit_log SET stored_size = 0 WHERE tenant_id = %s", [tenant_id])
    sign(tenant_id, 1)

    assert store_checkpoints(bucket).fault == ""
    assert set(stored(server, bucket, tenant_id)) == set(signed(tenant_id))


def test_while_the_bucket_is_away_signing_goes_on_and_afterwards_nothing_is_missing(
    server: Server, settings: Settings, tenant_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    name = server.bucket()
    away = Keeper(_set(server, settings, name, url=f"http://127.0.0.1:{free_port()}"), 8)
    waits = []
    for n in (1, 2, 3):
        sign(tenant_id, n)
        with caplog.at_level(logging.ERROR):
            assert away.go_round().fault == "EndpointConnectionError"
        waits.append(away.wait_s())

    assert waits == [16, 32, 64]
    assert {r.getMessage() for r in caplog.records} == {"audit.copy_failed"}
    (row,) = Copying.objects.all()
    assert (row.fault, row.n_tries) == ("EndpointConnectionError", 3)
    assert row.n_behind >= 1
    assert row.failing_since is not None
    health._last["at"] = 0.0
    ready, figures = Api("").get("/readyz").json(), Api("").get("/metrics").content.decode()
    assert ready["parts"]["audit_copies"] == "not_ready"
    assert 'ambit_audit_copy_failing_seconds{place="bucket"}' in figures
    assert len(signed(tenant_id)) == 3

    back = Keeper(_set(server, settings, name), 8)
    assert back.go_round().fault == ""

    assert stored(server, back.bucket, tenant_id) == signed(tenant_id)
    assert back.wait_s() == 8
    (row,) = Copying.objects.all()
    assert (row.fault, row.failing_since, row.n_behind) == ("", None, 0)
    health._last["at"] = 0.0
    assert Api("").get("/readyz").json()["parts"]["audit_copies"] == "ready"
    health._last["at"] = 0.0


@pytest.mark.parametrize(
    ("kind", "words"), [("plain", "has no object lock"), ("none", "There is no bucket")]
)
def test_what_cannot_be_locked_is_refused_at_the_start(
    server: Server, settings: Settings, tenant_id: UUID, kind: str, words: str
) -> None:
    _set(server, settings, server.bucket(locked=False) if kind == "plain" else "not-there")

    with pytest.raises(CommandError, match=words):
        call_command("keep_audit", once=True)


def test_without_credentials_or_with_a_bad_address_it_is_said(
    server: Server, settings: Settings, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = server.bucket()
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BucketUnfit, match="There are no credentials"):
        _set(server, settings, bucket).require_lock()
    with pytest.raises(BucketUnfit, match="AMBIT_AUDIT_S3_ENDPOINT"):
        _set(server, settings, bucket, url="not a url")


def test_a_bucket_that_is_set_no_longer_is_shown_no_longer(
    bucket: Bucket, settings: Settings, tenant_id: UUID
) -> None:
    call_command("keep_audit", once=True)
    assert Copying.objects.count() == 1
    settings.AMBIT_AUDIT_S3_BUCKET = ""

    call_command("keep_audit", once=True)

    assert Copying.objects.count() == 0


def test_the_process_signs_and_stores_until_it_is_told_to_stop(
    private: PrivateDatabase, server: Server, keyring: Path, tenant_id: UUID, tmp_path: Path
) -> None:
    name = server.bucket()
    add_events(tenant_id, 3)
    environment = {
        **os.environ,
        **CREDENTIALS,
        "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        "AMBIT_DATA_DIR": str(private.embedded.data_dir),
        "AMBIT_KEYRING_DIR": str(keyring),
        "AMBIT_AUDIT_COPIES_DIR": str(tmp_path / "outside"),
        "AMBIT_AUDIT_INTERVAL_S": "1",
        "AMBIT_AUDIT_S3_BUCKET": name,
        "AMBIT_AUDIT_S3_ENDPOINT": server.url,
        "AMBIT_AUDIT_S3_REGION": REGION,
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "keep_audit"], cwd=ROOT, env=environment
    )
    try:
        until = time.monotonic() + 60
        while not server.keys(name) and time.monotonic() < until:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()

    assert any(public_id("tenant", tenant_id) in key for key in server.keys(name))
