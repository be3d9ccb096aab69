"""`manage.py wrap_keyring`: from plain files to a store, from store to store, and back."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ambit.keys.durable import alone
from ambit.keys.keyring import create_tenant_keys, tenant_keys
from ambit.keys.protecting import count_by_store, protect_keyring
from ambit.keys.signing import FILE, make_signing_key, signing_key
from tests.architecture.sources import ROOT
from tests.keys.bao import Bao
from tests.keys.conftest import Kms


@pytest.fixture
def tenants(keyring: Path) -> list[UUID]:
    """Have a keyring of plain files: three tenants' and the audit log's."""
    made = [uuid4() for _ in range(3)]
    for tenant_id in made:
        create_tenant_keys(tenant_id)
    make_signing_key()
    return made


def _wrap(*args: str) -> tuple[str, str, bool]:
    """Run the command; return what it said, what it complained of and whether it went well."""
    said, complained = io.StringIO(), io.StringIO()
    try:
        call_command("wrap_keyring", *args, stdout=said, stderr=complained)
    except CommandError as error:
        return said.getvalue(), f"{complained.getvalue()}{error}", False
    return said.getvalue(), complained.getvalue(), True


def _everything(tenants: list[UUID]) -> list[object]:
    return [*map(tenant_keys, tenants), signing_key().private_bytes_raw()]


def _plain_bytes(keyring: Path, secrets: list[bytes]) -> list[str]:
    return [
        path.name
        for path in keyring.iterdir()
        for data in [path.read_bytes()]
        if any(s in data or base64.b64encode(s) in data for s in secrets)
    ]


def test_plain_files_come_under_a_store_and_back(
    tenants: list[UUID], keyring: Path, kms: Kms, settings: Settings
) -> None:
    before = _everything(tenants)
    secrets = [
        k for t in tenants for k in (*tenant_keys(t).wrapping.values(), tenant_keys(t).hashing)
    ]
    secrets.append(signing_key().private_bytes_raw())
    assert len(_plain_bytes(keyring, secrets)) == 4

    assert _wrap() == (
        "4 files moved to kms, 0 were there, 0 failed, 0 not of the keyring\n",
        "",
        True,
    )

    assert _plain_bytes(keyring, secrets) == []
    assert _everything(tenants) == before
    assert count_by_store() == {"kms": 4}
    assert _wrap()[0] == "0 files moved to kms, 4 were there, 0 failed, 0 not of the keyring\n"
    settings.AMBIT_KEY_STORE = "file"
    assert _wrap()[0] == "4 files moved to file, 0 were there, 0 failed, 0 not of the keyring\n"
    assert _everything(tenants) == before
    assert count_by_store() == {"file": 4}


def test_a_copy_of_a_key_that_is_left_is_told_as_no_success(
    tenants: list[UUID], keyring: Path, kms: Kms
) -> None:
    copy = keyring / f"{tenants[0]} (copy).json"
    copy.write_bytes((keyring / f"{tenants[0]}.json").read_bytes())

    said, complained, went_well = _wrap()

    assert (said, went_well) == (
        "4 files moved to kms, 0 were there, 0 failed, 1 not of the keyring\n",
        False,
    )
    assert copy.name in complained


def test_from_one_store_to_another_while_both_are_set_up(
    tenants: list[UUID], keyring: Path, kms: Kms, bao: Bao, settings: Settings
) -> None:
    before = _everything(tenants)
    assert _wrap()[2]
    assert count_by_store() == {"openbao": 4}

    settings.AMBIT_KEY_STORE = "kms"
    assert _wrap()[2]

    assert count_by_store() == {"kms": 4}
    assert _everything(tenants) == before


def test_again_wraps_under_the_stores_newest_key(
    tenants: list[UUID], keyring: Path, bao: Bao, settings: Settings, tmp_path: Path
) -> None:
    name = f"k{uuid4().hex[:8]}"
    bao.tell(f"transit/keys/{name}")
    root = tmp_path / "root"
    root.write_text(bao._root)
    settings.AMBIT_OPENBAO_KEY, settings.AMBIT_OPENBAO_TOKEN_FILE = f"transit/{name}", str(root)
    before = _everything(tenants)
    _wrap()
    bao.tell(f"transit/keys/{name}/rotate")

    assert _wrap()[0].startswith("0 files moved")
    assert _wrap("--again")[0].startswith("4 files moved")
    bao.tell(f"transit/keys/{name}/config", min_decryption_version=2)

    assert all(
        json.loads(path.read_text())["wrapped"].startswith("vault:v2:")
        for path in keyring.glob("*.json")
    )
    assert _everything(tenants) == before


def test_a_file_that_cannot_be_moved_is_told_and_the_others_are_moved(
    tenants: list[UUID], keyring: Path, kms: Kms
) -> None:
    (keyring / f"{tenants[0]}.json").write_text("{")
    (keyring / "notes.json").write_text("{}")

    said, complained, went_well = _wrap()

    assert went_well is False
    assert said == "3 files moved to kms, 0 were there, 1 failed, 1 not of the keyring\n"
    assert f"{tenants[0]}.json: " in complained
    assert "notes.json: not a file of the keyring" in complained
    assert (keyring / f"{tenants[0]}.json").read_text() == "{"


def test_with_the_store_away_nothing_is_changed(
    tenants: list[UUID], keyring: Path, kms: Kms
) -> None:
    before = {path.name: path.read_bytes() for path in keyring.glob("*.json")}
    kms.take_key()

    said, _, went_well = _wrap()

    assert (went_well, said) == (
        False,
        "0 files moved to kms, 0 were there, 4 failed, 0 not of the keyring\n",
    )
    assert {path.name: path.read_bytes() for path in keyring.glob("*.json")} == before


@pytest.mark.parametrize("n_writes", [0, 1, 3])
def test_a_killed_move_goes_on(tenants: list[UUID], keyring: Path, kms: Kms, n_writes: int) -> None:
    before = _everything(tenants)
    # Killed after the new bytes are written and before they take the file's name.
    script = f"""
import os, signal, django
django.setup()
from django.conf import settings
settings.AMBIT_KEYRING_DIR, settings.AMBIT_KEY_STORE = {str(keyring)!r}, "kms"
settings.AMBIT_KMS_COMMAND = {[sys.executable, str(ROOT / "tests/keys/kms.py"), str(kms.folder)]!r}
from ambit.keys import durable
from ambit.keys.protecting import protect_keyring
own, left = os.replace, [{n_writes}]
def replace(*args):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    own(*args)
os.replace = replace
list(protect_keyring())
"""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, timeout=60, check=False
    )
    assert -done.returncode == signal.SIGKILL
    (left_behind,) = keyring.glob(".*.json.*")

    assert _everything(tenants) == before
    os.utime(left_behind, (0, 0))
    assert (
        _wrap()[0]
        == f"{4 - n_writes} files moved to kms, {n_writes} were there, 0 failed, 0 not of the keyring\n"
    )
    assert _everything(tenants) == before
    assert list(keyring.glob(".*.json.*")) == []


def test_what_somebody_writes_at_this_moment_is_left_alone(
    tenants: list[UUID], keyring: Path, kms: Kms
) -> None:
    fresh = keyring / f".{uuid4()}.json.abcd"
    fresh.write_text("being written")

    list(protect_keyring())

    assert fresh.exists()


def test_two_commands_do_not_cross(tenants: list[UUID], keyring: Path, kms: Kms) -> None:
    with alone(keyring):
        _, complained, went_well = _wrap()

    assert (went_well, "another command" in complained) == (False, True)
    assert count_by_store() == {"file": 4}


def test_without_a_keyring_it_says_so(keyring: Path, settings: Settings) -> None:
    settings.AMBIT_KEYRING_DIR = keyring / "nowhere"

    assert _wrap()[1].startswith("The folder of the keyring is not there")


def test_the_signing_key_is_among_them(tenants: list[UUID], keyring: Path, kms: Kms) -> None:
    list(protect_keyring())

    assert json.loads((keyring / FILE).read_text())["store"] == "kms"
