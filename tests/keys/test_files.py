"""Files of the keyring: as they always were, protected by a store, replaced and destroyed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from ambit.keys import durable, protected
from ambit.keys.chosen import store_named
from ambit.keys.keyring import (
    KeyInUse,
    KeyUnavailable,
    add_wrapping_key,
    create_tenant_keys,
    destroy_tenant_keys,
    remove_wrapping_keys,
    tenant_context,
    tenant_keys,
)
from ambit.keys.signing import FILE, make_signing_key, signing_key
from tests.keys.conftest import Kms


def _file(keyring: Path, tenant_id: UUID) -> Path:
    return keyring / f"{tenant_id}.json"


def _make() -> UUID:
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)
    return tenant_id


def _secrets_in(data: bytes, tenant_id: UUID) -> list[bytes]:
    keys = tenant_keys(tenant_id)
    secrets = [*keys.wrapping.values(), keys.hashing]
    return [s for s in secrets if s in data or base64.b64encode(s) in data]


def test_without_a_store_a_file_is_as_it_always_was(keyring: Path) -> None:
    tenant_id = _make()

    path = _file(keyring, tenant_id)
    said = json.loads(path.read_text())
    assert set(said) == {"current", "wrapping", "hashing"}
    assert (said["current"], set(said["wrapping"])) == (1, {"1"})
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_that_exist_are_left_as_they_are(keyring: Path, kms: Kms) -> None:
    tenant_id = _make()
    before = _file(keyring, tenant_id).read_bytes()

    create_tenant_keys(tenant_id)

    assert _file(keyring, tenant_id).read_bytes() == before


def test_a_protected_file_holds_no_key(keyring: Path, kms: Kms) -> None:
    tenant_id = _make()
    make_signing_key()

    data = _file(keyring, tenant_id).read_bytes()
    assert json.loads(data)["store"] == "kms"
    assert _secrets_in(data, tenant_id) == []
    raw = signing_key().private_bytes_raw()
    signing = (keyring / FILE).read_bytes()
    assert raw not in signing
    assert base64.b64encode(raw) not in signing
    assert _file(keyring, tenant_id).stat().st_mode & 0o777 == 0o600


def test_another_tenants_file_does_not_open_in_ones_place(keyring: Path, kms: Kms) -> None:
    tenant_id, other = _make(), _make()

    _file(keyring, other).write_bytes(_file(keyring, tenant_id).read_bytes())

    with pytest.raises(KeyUnavailable):
        tenant_keys(other)


def test_what_was_sealed_into_a_file_is_bound_to_it_too(keyring: Path, kms: Kms) -> None:
    tenant_id, other = _make(), _make()
    mine = json.loads(_file(keyring, tenant_id).read_text())

    # As if the store had bound nothing.
    key = store_named("kms").unwrap(mine["wrapped"], context=tenant_context(tenant_id))
    mine["wrapped"] = store_named("kms").wrap(key, context=tenant_context(other))
    _file(keyring, other).write_text(json.dumps(mine))

    with pytest.raises(KeyUnavailable):
        tenant_keys(other)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"store": "kms"}', '{"current": 1}', '"x"'])
def test_a_damaged_file_is_an_error_in_words(keyring: Path, kms: Kms, text: str) -> None:
    tenant_id = _make()

    _file(keyring, tenant_id).write_text(text)

    with pytest.raises(KeyUnavailable, match="read from the keyring"):
        tenant_keys(tenant_id)


def test_a_file_of_a_store_that_is_not_set_up_says_so(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    tenant_id = _make()
    settings.AMBIT_KEY_STORE, settings.AMBIT_KMS_COMMAND = "file", []

    with pytest.raises(KeyUnavailable, match="'kms', which is not set up"):
        tenant_keys(tenant_id)


def test_a_new_key_keeps_the_old_ones_and_the_hashing_key(keyring: Path) -> None:
    tenant_id = _make()
    before = tenant_keys(tenant_id)

    version = add_wrapping_key(tenant_id)

    after = tenant_keys(tenant_id)
    assert (version, after.current, set(after.wrapping)) == (2, 2, {1, 2})
    assert (after.wrapping[1], after.hashing) == (before.wrapping[1], before.hashing)
    assert len(set(after.wrapping.values())) == 2


def test_a_file_stays_protected_when_no_store_is_chosen_any_more(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    tenant_id = _make()
    settings.AMBIT_KEY_STORE = "file"

    add_wrapping_key(tenant_id)

    assert json.loads(_file(keyring, tenant_id).read_text())["store"] == "kms"
    assert tenant_keys(tenant_id).current == 2


def test_the_current_key_is_never_taken_away(keyring: Path) -> None:
    tenant_id = _make()
    add_wrapping_key(tenant_id)

    with pytest.raises(KeyInUse):
        remove_wrapping_keys(tenant_id, versions=[1, 2])

    assert set(tenant_keys(tenant_id).wrapping) == {1, 2}
    remove_wrapping_keys(tenant_id, versions=[1])
    assert set(tenant_keys(tenant_id).wrapping) == {2}


def test_the_bytes_that_were_replaced_are_overwritten(keyring: Path, tmp_path: Path) -> None:
    tenant_id = _make()
    # Another name of the same bytes on disk.
    os.link(_file(keyring, tenant_id), tmp_path / "before")

    add_wrapping_key(tenant_id)

    assert set((tmp_path / "before").read_bytes()) == {0}


def test_a_destroyed_file_is_gone_with_its_bytes_and_does_not_come_back(
    keyring: Path, tmp_path: Path
) -> None:
    tenant_id, other = _make(), _make()
    assert tenant_keys(tenant_id).current == 1
    os.link(_file(keyring, tenant_id), tmp_path / "before")
    left_behind = keyring / f".{tenant_id}.json.abcd"
    left_behind.write_text("a write that was killed")

    assert destroy_tenant_keys(tenant_id) is True

    assert destroy_tenant_keys(tenant_id) is False
    assert not left_behind.exists()
    assert set((tmp_path / "before").read_bytes()) == {0}
    for ask in (tenant_keys, add_wrapping_key):
        with pytest.raises(KeyUnavailable):
            ask(tenant_id)
    assert not _file(keyring, tenant_id).exists()
    assert tenant_keys(other).current == 1


def test_nothing_is_written_in_the_place_of_a_file_that_is_gone(keyring: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.replace(keyring / "gone.json", "{}")

    assert list(keyring.iterdir()) == []


def test_a_file_is_destroyed_after_who_changes_it_and_not_meanwhile(keyring: Path) -> None:
    tenant_id = _make()
    with durable.changing(keyring):
        destroyer = threading.Thread(target=destroy_tenant_keys, args=(tenant_id,))
        destroyer.start()
        destroyer.join(0.3)
        waited = destroyer.is_alive()
        assert _file(keyring, tenant_id).exists()
    destroyer.join()

    assert waited
    assert not _file(keyring, tenant_id).exists()


def test_who_reads_while_keys_are_replaced_gets_them_whole(keyring: Path) -> None:
    tenant_id = _make()
    first = tenant_keys(tenant_id).wrapping[1]
    over, seen = threading.Event(), set()
    wrong: list[object] = []

    def look() -> None:
        while not over.is_set():
            # As another process would, which remembers nothing of ours.
            protected.forget(_file(keyring, tenant_id))
            try:
                keys = tenant_keys(tenant_id)
            except KeyUnavailable as error:
                wrong.append(error)
                continue
            seen.add(keys.current)
            if keys.wrapping.get(1) != first or keys.current not in keys.wrapping:
                wrong.append(keys)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(40):
            add_wrapping_key(tenant_id)
    finally:
        over.set()
        for reader in readers:
            reader.join()

    assert wrong == []
    assert len(seen) > 1


def test_tenant_keys_bears_being_replaced_while_it_reads(
    keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = _make()
    own, path = protected.open_file, _file(keyring, tenant_id)
    whole = path.read_text()

    def overwritten_once(*args: object, **named: object) -> object:
        monkeypatch.setattr(protected, "open_file", own)
        path.write_bytes(bytes(20))
        try:
            return own(path, context=str(named["context"]))
        finally:
            path.write_text(whole)

    monkeypatch.setattr(protected, "open_file", overwritten_once)

    assert tenant_keys(tenant_id).current == 1


def test_another_process_sees_a_new_key_at_once(keyring: Path) -> None:
    tenant_id = _make()
    script = (
        "import sys, django; django.setup()\n"
        "from uuid import UUID\n"
        "from django.conf import settings\n"
        f"settings.AMBIT_KEYRING_DIR = {str(keyring)!r}\n"
        "from ambit.keys.keyring import tenant_keys\n"
        "for line in sys.stdin:\n"
        "    print(tenant_keys(UUID(line.strip())).current, flush=True)\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as child:
        assert child.stdin
        assert child.stdout

        def ask() -> int:
            child.stdin.write(f"{tenant_id}\n")  # type: ignore[union-attr]  # a pipe was asked for
            child.stdin.flush()  # type: ignore[union-attr]
            return int(child.stdout.readline())  # type: ignore[union-attr]

        before = ask()
        add_wrapping_key(tenant_id)
        after = ask()
        child.stdin.close()

    assert (before, after) == (1, 2)
