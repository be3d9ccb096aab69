"""How long what a store opened stays in memory, and what a store that is down costs."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from ambit.keys import chosen, program, protected
from ambit.keys.chosen import chosen_store
from ambit.keys.keyring import KeyUnavailable, create_tenant_keys, tenant_keys
from ambit.keys.store import KeyStoreDown
from tests.keys.conftest import Kms


def _make() -> UUID:
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)
    return tenant_id


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def test_the_store_is_asked_once_and_not_for_each_passage(keyring: Path, kms: Kms) -> None:
    tenant_id = _make()
    n_before = len(kms.calls)

    for _ in range(1000):
        tenant_keys(tenant_id)

    asked = kms.calls[n_before:]
    assert [line.split()[:2] for line in asked] == [["unwrap", f"ambit/tenant/{tenant_id}"]]


def test_plain_keys_are_looked_up_as_quickly_as_before(keyring: Path) -> None:
    tenant_id = _make()
    tenant_keys(tenant_id)

    started = time.perf_counter()
    for _ in range(10_000):
        tenant_keys(tenant_id)

    # About 5 µs, most of it for asking whether the file changed.
    assert time.perf_counter() - started < 1.0


def test_a_program_is_told_none_of_our_secrets(keyring: Path, kms: Kms) -> None:
    _make()

    assert kms.calls
    assert all(line.endswith(" []") for line in kms.calls)


def test_a_key_that_was_taken_away_bites_when_its_time_in_memory_is_over(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    settings.AMBIT_KEY_CACHE_S = 4
    tenant_id = _make()
    keys = tenant_keys(tenant_id)
    loaded = time.monotonic()
    kms.take_key()

    assert tenant_keys(tenant_id) == keys
    _wait_until(loaded + 2.1)
    # In the second half the store is asked, does not answer, and what is known still serves.
    n_before = len(kms.calls)
    assert tenant_keys(tenant_id) == keys
    assert tenant_keys(tenant_id) == keys
    assert len(kms.calls) == n_before + 1
    _wait_until(loaded + 4.1)
    with pytest.raises(KeyStoreDown):
        tenant_keys(tenant_id)

    kms.make_key()
    chosen._said.clear()
    assert tenant_keys(tenant_id) == keys


def test_a_store_that_refuses_bites_with_the_next_question(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    settings.AMBIT_KEY_CACHE_S = 2
    tenant_id = _make()
    tenant_keys(tenant_id)
    loaded = time.monotonic()
    # Another key of the same name: the file does not open under it.
    (kms.folder / "key").write_bytes(bytes(32))

    _wait_until(loaded + 1.2)

    with pytest.raises(KeyUnavailable, match="refuses to unwrap"):
        tenant_keys(tenant_id)
    with pytest.raises(KeyUnavailable):
        tenant_keys(tenant_id)


def test_what_nobody_asks_for_any_more_leaves_memory_too(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    settings.AMBIT_KEY_CACHE_S = 1
    tenant_keys(_make())
    assert len(protected._held) == 1

    time.sleep(2.2)

    assert protected._held == {}


def test_a_store_that_is_down_is_not_asked_again_and_again(keyring: Path, kms: Kms) -> None:
    tenants = [_make() for _ in range(3)]
    kms.take_key()
    n_before = len(kms.calls)

    for tenant_id in tenants * 5:
        with pytest.raises(KeyStoreDown):
            tenant_keys(tenant_id)

    assert len(kms.calls) == n_before + 1


def test_after_its_rest_a_store_is_asked_again(
    keyring: Path, kms: Kms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "REST_S", 0.3)
    tenant_id = _make()
    kms.take_key()
    with pytest.raises(KeyStoreDown):
        tenant_keys(tenant_id)
    kms.make_key()
    with pytest.raises(KeyStoreDown):
        tenant_keys(tenant_id)

    time.sleep(0.35)

    assert tenant_keys(tenant_id).current == 1


def test_a_program_that_hangs_is_given_up(
    keyring: Path, kms: Kms, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = _make()
    monkeypatch.setattr(program, "TIMEOUT_S", 1)
    (kms.folder / "slow").touch()

    started = time.monotonic()
    with pytest.raises(KeyStoreDown, match="longer than 1 s"):
        tenant_keys(tenant_id)

    assert time.monotonic() - started < 5


def test_a_program_that_is_not_there_is_a_store_that_is_down(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    settings.AMBIT_KMS_COMMAND = ["/nonexistent/kms"]

    with pytest.raises(KeyStoreDown, match="cannot be started"):
        create_tenant_keys(uuid4())

    assert list(keyring.glob("*.json")) == []


def test_a_program_that_says_nothing_has_not_wrapped_anything(
    keyring: Path, kms: Kms, settings: Settings
) -> None:
    settings.AMBIT_KMS_COMMAND = ["/bin/true"]

    with pytest.raises(KeyStoreDown):
        create_tenant_keys(uuid4())

    assert list(keyring.glob("*.json")) == []


def test_a_program_that_gives_back_something_else_is_found_out_before_it_is_relied_on(
    keyring: Path, kms: Kms, settings: Settings, tmp_path: Path
) -> None:
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\necho something else than it was given\n")
    liar.chmod(0o700)
    settings.AMBIT_KMS_COMMAND = [str(liar)]

    with pytest.raises(KeyUnavailable, match="does not give back"):
        create_tenant_keys(uuid4())

    assert list(keyring.glob("*.json")) == []


def test_a_probe_believes_what_was_said_lately(keyring: Path, kms: Kms) -> None:
    store = chosen_store()
    assert store is not None
    tenant_id = _make()
    n_before = len(kms.calls)

    assert [store.answers() for _ in range(5)] == [True] * 5
    assert len(kms.calls) == n_before
    kms.take_key()
    with pytest.raises(KeyStoreDown):
        tenant_keys(tenant_id)
    assert [store.answers() for _ in range(5)] == [False] * 5
    assert len(kms.calls) == n_before + 1
    chosen._said.clear()
    assert store.answers() is False
    kms.make_key()
    chosen._said.clear()
    assert store.answers() is True
