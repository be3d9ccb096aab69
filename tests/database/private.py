"""A Postgres of the tests' own, to break on purpose; the session's is never touched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend
from django.test import override_settings

from ambit.config.canary import plant_canary
from ambit.config.embedded import DATABASE, Embedded
from ambit.config.runtime.supervisor import Stack

ALIASES = {
    "default": "ambit_app",
    "operator": "ambit_operator",
    "dispatch": "ambit_dispatch",
    "sequencer": "ambit_sequencer",
    "scrubber": "ambit_scrubber",
    "owner": "ambit_owner",
}


class PrivateDatabase:
    """A migrated database with its canary, in a server of its own."""

    def __init__(self, data_dir: Path | None = None, *, is_new: bool = True) -> None:
        """Start the server; a new one is migrated and gets its canary."""
        self._folder = tempfile.TemporaryDirectory(prefix="ambit-private-")
        self.embedded = Embedded(data_dir or Path(self._folder.name).resolve() / "data")
        self._stack = Stack(self.embedded, port=1, parts={"postgres"})
        self._stack.start()
        if not is_new:
            return
        with self.in_use():
            call_command("migrate", database="owner", verbosity=0, interactive=False)
            plant_canary()

    def stop(self) -> None:
        """Stop the server and remove its data."""
        self._stack.stop()
        self._folder.cleanup()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the application's connections lead here until the block ends."""
        before = {alias: connections[alias] for alias in ALIASES}
        for alias, role in ALIASES.items():
            connections[alias] = self._wrapper(alias, role)
        try:
            # A database and its ledger belong together.
            with override_settings(AMBIT_TOMBSTONES_DIR=self.embedded.tombstones_dir):
                yield
        finally:
            for alias, wrapper in before.items():
                connections[alias].close()
                connections[alias] = wrapper

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Connection]:
        """Connect as the superuser; each statement is committed."""
        with psycopg.connect(superuser_url(self.embedded), autocommit=True) as connection:
            yield connection

    def _wrapper(self, alias: str, role: str) -> BaseDatabaseWrapper:
        base = connections.settings["default"]
        changed = {
            "NAME": DATABASE,
            "USER": role,
            "PASSWORD": self.embedded.secrets[f"password_{role}"],
            "HOST": str(self.embedded.socket_dir),
            "PORT": "",
            # As the application connects, but for the pool.
            "OPTIONS": {n: v for n, v in base["OPTIONS"].items() if n != "pool"},
        }
        backend = load_backend(base["ENGINE"])
        wrapper: BaseDatabaseWrapper = backend.DatabaseWrapper({**base, **changed}, alias)
        return wrapper


def superuser_url(embedded: Embedded) -> str:
    """Return the URL of an embedded database's superuser."""
    password = embedded.secrets["password_postgres"]
    host = quote(str(embedded.socket_dir))
    return f"postgresql://postgres:{password}@/{DATABASE}?host={host}"


@cache
def private_database(config: pytest.Config) -> PrivateDatabase:
    """Return the one private database of a test run; it goes with the run."""
    made = PrivateDatabase()
    config.add_cleanup(made.stop)
    return made
