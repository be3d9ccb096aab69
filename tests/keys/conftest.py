"""A keyring of the test's own, and the stores that can protect it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import Settings

from ambit.keys import chosen, protected
from tests.keys import kms as kms_program
from tests.keys.bao import Bao, running


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Begin and end without what a test before left in memory."""
    protected._held.clear()
    chosen._said.clear()
    yield
    protected._held.clear()
    chosen._said.clear()


@pytest.fixture
def keyring(settings: Settings, tmp_path: Path) -> Path:
    """Have an empty keyring of our own."""
    folder = tmp_path / "keyring"
    folder.mkdir(mode=0o700)
    settings.AMBIT_KEYRING_DIR = folder
    return folder


@dataclass
class Kms:
    """A KMS behind a program."""

    folder: Path

    def make_key(self) -> None:
        """Give it its key, or give the key back."""
        kept = self.folder / "kept"
        kept.rename(self.folder / "key") if kept.exists() else (self.folder / "key").write_bytes(
            bytes(range(32))
        )

    def take_key(self) -> None:
        """Take its key away."""
        (self.folder / "key").rename(self.folder / "kept")

    @property
    def calls(self) -> list[str]:
        """Return what it was asked, oldest first."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def kms(settings: Settings, tmp_path: Path) -> Kms:
    """Protect the keyring by a KMS behind a program."""
    made = Kms(tmp_path / "kms")
    made.folder.mkdir()
    made.make_key()
    settings.AMBIT_KEY_STORE = "kms"
    settings.AMBIT_KMS_COMMAND = [sys.executable, kms_program.__file__, str(made.folder)]
    return made


@pytest.fixture
def bao(request: pytest.FixtureRequest, settings: Settings) -> Bao:
    """Protect the keyring by a real OpenBao."""
    server = running(request.config)
    settings.AMBIT_KEY_STORE = "openbao"
    settings.AMBIT_OPENBAO_URL = server.url
    settings.AMBIT_OPENBAO_TOKEN_FILE = str(server.token_file)
    settings.AMBIT_OPENBAO_KEY = "transit/ambit"
    return server
