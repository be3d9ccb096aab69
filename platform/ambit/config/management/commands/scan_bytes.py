"""Look through every byte of every store for canaries, before and after an erasure."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg.conninfo import make_conninfo

from ambit.config.embedded import Embedded
from ambit.scan.canaries import CanariesInvalid, read_canaries
from ambit.scan.flow import scan
from ambit.scan.report import INCOMPLETE, Unread
from ambit.scan.stores import Store, temporary_stores


class Command(BaseCommand):
    help = """\
Look for canaries, such as the texts and vectors of somebody who was erased, in every file of every
store: the database's files and log, originals, Redis' files, logs, temporary files, and the folders
given with --path. Nothing else need run. What is found is said by the canary's id, never its content.

FILE holds one JSON object a line:
  {"id": "p1", "text": "Anna Keller", "words": ["anna@example.org"], "vector": [0.1, …], "bytes": ["00ff…"]}

Exit code 0: everything was searched and nothing found. 1: a canary was found. 2: nothing was found,
but something could not be searched or the database not asked. deploy/scan.md says more."""
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--canaries", metavar="FILE", type=Path, required=True)
        parser.add_argument(
            "--data-dir", type=Path, help="data directory of one machine; default: AMBIT_DATA_DIR"
        )
        parser.add_argument(
            "--path",
            metavar="NAME=FOLDER",
            type=_store,
            action="append",
            default=[],
            help="a further store, such as backups=/srv/backups or postgres=/var/lib/postgresql/18/main",
        )
        parser.add_argument(
            "--database",
            metavar="CONNINFO",
            help="a superuser's connection; its password from PGPASSWORD or a password file",
        )
        parser.add_argument(
            "--no-database", action="store_true", help="search files only, and exit with 2 at best"
        )
        parser.add_argument("--json", metavar="OUT", type=Path, help="write the whole report there")
        parser.add_argument(
            "--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one a core"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            canaries = read_canaries(options["canaries"])
        except CanariesInvalid as error:
            raise CommandError(str(error), returncode=INCOMPLETE) from None
        given: Path | None = options["data_dir"]
        embedded = Embedded((given or settings.AMBIT_DATA_DIR).resolve())
        stores = _stores(embedded, is_given=given is not None) + options["path"]
        report = scan(
            canaries,
            stores,
            lacking=_lacking(stores),
            database=None if options["no_database"] else _database(embedded, options["database"]),
            jobs=max(1, options["jobs"]),
            say=self.stderr.write,
        )
        if options["json"]:
            options["json"].write_text(json.dumps(report.as_json(), indent=1))
        for line in report.lines():
            self.stdout.write(line)
        sys.exit(report.exit_code)


def _store(given: str) -> Store:
    name, equals, path = given.partition("=")
    if not (name and equals and path):
        raise ArgumentTypeError("NAME=FOLDER is expected")
    return Store(name, Path(path).absolute())


def _stores(embedded: Embedded, *, is_given: bool) -> list[Store]:
    """Return the installation's folders; those outside the data directory that the settings name too."""
    stores = []
    if embedded.data_dir.exists() or not settings.PRODUCTION:
        stores.append(Store("data", embedded.data_dir, is_data_dir=True))
    elsewhere = [
        Store("originals", settings.AMBIT_ORIGINALS_DIR.resolve()),
        Store("data", settings.AMBIT_KEYRING_DIR.resolve()),
        Store("data", settings.AMBIT_TOMBSTONES_DIR.resolve()),
        Store("data", settings.STATIC_ROOT.resolve()),
    ]
    if not is_given:
        stores += [s for s in elsewhere if not s.path.is_relative_to(embedded.data_dir)]
    if embedded.socket_dir.exists():
        stores.append(Store("temporary", embedded.socket_dir))
    return stores + temporary_stores(Path(tempfile.gettempdir()).resolve())


def _lacking(stores: list[Store]) -> list[Unread]:
    """Return what only --path can name: in production, where the database and Redis keep their files."""
    if not settings.PRODUCTION:
        return []
    lacking = {"postgres", "redis"} - {store.name for store in stores}
    reason = "its files are elsewhere: search them there, or give --path"
    return [Unread(name, "", reason) for name in sorted(lacking)]


def _database(embedded: Embedded, given: str | None) -> str | None:
    """Return whom to ask: what was given, else the embedded database's superuser; None in production."""
    if given:
        return given
    if settings.PRODUCTION or not (embedded.data_dir / "secrets.json").exists():
        return None
    return make_conninfo(
        host=str(embedded.socket_dir),
        user="postgres",
        dbname="postgres",
        password=embedded.secrets["password_postgres"],
    )
