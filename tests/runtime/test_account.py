"""The account that Postgres runs as, made by two who start at the same moment."""

from __future__ import annotations

import pwd
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ambit.config.runtime import account

# Adds a line, not an account; says when it began and ended.
USERADD = """#!/bin/sh
echo begun >>{log}
sleep 0.2
echo "$6" >>{made}
echo ended >>{log}
"""


def test_of_two_who_make_the_account_at_once_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, made = tmp_path / "log", tmp_path / "made"
    program = tmp_path / "useradd"
    program.write_text(USERADD.format(log=log, made=made))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    somebody = pwd.getpwuid(0)

    def look_up(name: str) -> pwd.struct_passwd:
        if not made.exists():
            raise KeyError(name)
        return somebody

    monkeypatch.setattr(pwd, "getpwnam", look_up)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: account._create_account(), range(2)))

    assert found == [somebody, somebody]
    assert log.read_text().split() == ["begun", "ended"]
