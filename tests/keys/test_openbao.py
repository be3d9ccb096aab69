"""A real OpenBao: what it binds, what it refuses, and how its absence is told."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django import Settings

from ambit.config.runtime.network import free_port
from ambit.keys import chosen, protected
from ambit.keys.chosen import chosen_store
from ambit.keys.keyring import KeyUnavailable, create_tenant_keys, tenant_keys
from ambit.keys.openbao import OpenBao
from ambit.keys.store import KeyStoreDown
from tests.keys.bao import Bao, policy

SECRET = bytes(range(32))


def _store(bao: Bao, key: str = "transit/ambit", **changed: str) -> OpenBao:
    values = {"url": bao.url, "token_file": str(bao.token_file)} | changed
    return OpenBao(key=key, **values)


def _made_anew(bao: Bao, **options: object) -> str:
    name = f"k{uuid4().hex[:8]}"
    bao.tell(f"transit/keys/{name}", **options)
    return f"transit/{name}"


@pytest.mark.parametrize(
    "options",
    [{}, {"derived": True}, {"type": "chacha20-poly1305"}],
    ids=["plain", "derived", "chacha20"],
)
def test_what_is_wrapped_opens_in_its_own_context_alone(
    bao: Bao, options: dict[str, object], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.write_text(bao._root)
    store = _store(bao, _made_anew(bao, **options), token_file=str(root))

    wrapped = store.wrap(SECRET, context="ambit/tenant/1")

    assert wrapped.startswith("vault:v1:")
    assert store.unwrap(wrapped, context="ambit/tenant/1") == SECRET
    with pytest.raises(KeyUnavailable) as refused:
        store.unwrap(wrapped, context="ambit/tenant/2")
    assert not isinstance(refused.value, KeyStoreDown)


def test_tenants_keys_live_in_a_file_that_the_server_alone_opens(keyring: Path, bao: Bao) -> None:
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)

    assert "vault:v1:" in (keyring / f"{tenant_id}.json").read_text()
    assert tenant_keys(tenant_id).current == 1


def test_a_token_without_the_right_is_refused_and_a_new_one_in_its_file_is_taken(
    keyring: Path, bao: Bao, settings: Settings, tmp_path: Path
) -> None:
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)
    token = tmp_path / "token"
    token.write_text(bao.new_token("default"))
    settings.AMBIT_OPENBAO_TOKEN_FILE = str(token)

    with pytest.raises(KeyUnavailable, match="403"):
        tenant_keys(tenant_id)
    token.write_text(bao.new_token("ambit") + "\n")

    assert tenant_keys(tenant_id).current == 1


def test_ambits_own_rights_make_no_key_where_one_is_missing(bao: Bao) -> None:
    # With `create`, encrypting under a missing key would make one, and nothing of before would open.
    token = bao.token_file.with_name("other")
    gone = _store(bao, "transit/gone", token_file=str(token))
    bao.tell("sys/policies/acl/other", policy=policy().replace("ambit", "gone"))
    token.write_text(bao.new_token("other"))

    with pytest.raises(KeyUnavailable):
        gone.wrap(SECRET, context="ambit/probe")

    bao.tell(
        "sys/policies/acl/other",
        policy=policy().replace("ambit", "gone").replace("update", "create"),
    )
    assert gone.wrap(SECRET, context="ambit/probe").startswith("vault:v1:")


def test_a_key_that_was_destroyed_in_the_server_is_lost_and_not_down(
    keyring: Path, bao: Bao, settings: Settings, tmp_path: Path
) -> None:
    settings.AMBIT_OPENBAO_KEY = key = _made_anew(bao)
    root = tmp_path / "root"
    root.write_text(bao._root)
    settings.AMBIT_OPENBAO_TOKEN_FILE = str(root)
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)
    name = key.partition("/")[2]
    bao.tell(f"transit/keys/{name}/config", deletion_allowed=True)
    bao.delete(f"transit/keys/{name}")

    with pytest.raises(KeyUnavailable) as lost:
        tenant_keys(tenant_id)

    assert not isinstance(lost.value, KeyStoreDown)


def test_sealed_it_is_down_and_unsealed_it_is_back(
    keyring: Path, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "REST_S", 0.2)
    cached, tenant_id = uuid4(), uuid4()
    create_tenant_keys(cached)
    create_tenant_keys(tenant_id)
    tenant_keys(cached)
    store = chosen_store()
    assert store is not None

    with bao.sealed():
        with pytest.raises(KeyStoreDown, match="503"):
            tenant_keys(tenant_id)
        assert store.answers() is False
        # Those whose keys are in memory go on.
        assert tenant_keys(cached).current == 1
        with pytest.raises(KeyStoreDown):
            create_tenant_keys(uuid4())

    time.sleep(0.25)
    assert tenant_keys(tenant_id).current == 1
    assert store.answers() is True
    assert len(list(keyring.glob("*.json"))) == 2


def test_a_server_that_says_nothing_is_given_up_in_seconds(keyring: Path, bao: Bao) -> None:
    tenant_id = uuid4()
    create_tenant_keys(tenant_id)

    with bao.frozen():
        started = time.monotonic()
        for _ in range(5):
            with pytest.raises(KeyStoreDown):
                tenant_keys(tenant_id)
        took = time.monotonic() - started

    # One question waits for its time, and none behind it.
    assert took < 4


def test_an_address_where_nobody_is_says_so(bao: Bao) -> None:
    nobody = _store(bao, url=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(KeyStoreDown, match="does not answer"):
        nobody.wrap(SECRET, context="ambit/probe")
    with pytest.raises(KeyStoreDown, match="cannot be asked"):
        _store(bao, token_file="/nonexistent/token").wrap(SECRET, context="ambit/probe")


def test_errors_hold_nothing_of_what_was_sent(bao: Bao) -> None:
    store = _store(bao)

    with pytest.raises(KeyUnavailable) as refused:
        store.unwrap("vault:v1:c2VjcmV0d29yZA==", context="ambit/tenant/1")

    assert "c2VjcmV0" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert bao.token_file.read_text() not in str(refused.value)
    assert protected._held == {}
