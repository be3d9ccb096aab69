"""A data directory: secrets made once and kept closed, sockets where their paths fit."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg.conninfo
import pytest

from ambit.config.embedded import DATABASE, ROLES, UNIX_SOCKET_PATH_LIMIT, Embedded


def test_secrets_are_made_once_and_differ_from_each_other(tmp_path: Path) -> None:
    first = Embedded(tmp_path / "data").secrets
    second = Embedded(tmp_path / "data").secrets

    assert first == second
    assert len(set(first.values())) == len(first)
    assert min(len(value) for value in first.values()) >= 48
    assert {f"password_{role}" for role in ROLES} <= set(first)


def test_secrets_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    assert Embedded(tmp_path / "data").secrets

    [path] = (tmp_path / "data").iterdir()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_start_together_agree_on_the_secrets(tmp_path: Path) -> None:
    places = [Embedded(tmp_path) for _ in range(16)]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda embedded: embedded.secrets, places))

    assert all(one == found[0] for one in found)
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]


def test_a_lost_secret_is_an_error_and_never_made_anew(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path)
    kept = {name: value for name, value in embedded.secrets.items() if name != "pepper"}
    (tmp_path / "secrets.json").write_text(json.dumps(kept))

    with pytest.raises(RuntimeError, match=r"secrets\.json lacks pepper"):
        _ = Embedded(tmp_path).secrets


@pytest.mark.parametrize("depth", [1, 40])
def test_sockets_have_a_path_that_the_kernel_takes(depth: int) -> None:
    embedded = Embedded(Path("/somewhere", *["deep"] * depth))

    longest = embedded.socket_dir / ".s.PGSQL.5432"

    assert len(str(longest)) <= UNIX_SOCKET_PATH_LIMIT
    assert (embedded.socket_dir.parent == embedded.data_dir) is (depth == 1)


def test_two_deep_directories_do_not_share_their_sockets(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep"] * 40)

    assert Embedded(deep / "a").socket_dir != Embedded(deep / "b").socket_dir


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_the_database_by_its_own_password(tmp_path: Path, role: str) -> None:
    embedded = Embedded(tmp_path / "a folder with spaces")

    parsed = psycopg.conninfo.conninfo_to_dict(embedded.database_url(role))

    assert parsed["user"] == role
    assert parsed["password"] == embedded.secrets[f"password_{role}"]
    assert parsed["host"] == str(embedded.socket_dir)
    assert parsed["dbname"] == DATABASE
