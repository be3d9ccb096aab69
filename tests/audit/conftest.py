"""Real Postgres, one of it to break; and what was erased, signed and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ambit.audit.verifier import main
from tests.audit.receipts import Check, Shown, World, make_world
from tests.database.conftest import _database, private

__all__ = ["_database", "private"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _database: None) -> World:
    """Return what was erased, signed and exported."""
    return make_world(tmp_path_factory.mktemp("receipts"))


@pytest.fixture
def check(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return what checks receipts against the export and returns the status and what was said."""

    def run(
        *receipts: Shown | str, folder: Path | None = None, more: tuple[str, ...] = ()
    ) -> tuple[int, str]:
        arguments = [str(folder or world.folder), "--key", world.signer.key, *more]
        for number, receipt in enumerate(receipts):
            path = tmp_path / f"receipt{number}.json"
            path.write_text(receipt if isinstance(receipt, str) else json.dumps(receipt, indent=2))
            arguments += ["--receipt", str(path)]
        capsys.readouterr()
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run
