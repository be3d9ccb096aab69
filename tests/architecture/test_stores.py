"""Every place outside Postgres where code puts something is known to erasure: a file, a folder, Redis, a cache."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from ambit.erasure.registry import HOLDINGS
from tenants.holding import Holding
from tests.architecture.sources import Source, last_name, sources

# What opens, makes or moves a place to write to, by the last name it is called by.
_WRITERS = {
    "open", "fdopen", "write_text", "write_bytes", "touch", "mkdir", "makedirs", "symlink_to", "hardlink_to",
    "rename", "renames", "link", "symlink", "copyfile", "copytree", "copy2", "move", "mkstemp", "mkdtemp", "mkfifo",
    "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "SpooledTemporaryFile", "memfd_create",
    "SharedMemory", "ShareableList", "mmap", "ZipFile", "TarFile", "Redis", "StrictRedis", "from_url", "FileHandler",
    "RotatingFileHandler", "FileSystemStorage", "client", "resource",
}  # fmt: skip
_MODULES = {
    "shelve", "dbm", "sqlite3", "boto3", "botocore", "diskcache", "joblib", "lmdb", "kafka", "pymongo", "memcache",
    "pymemcache", "django.core.cache", "django.core.files.storage", "redis", "redis.asyncio", "multiprocessing",
}  # fmt: skip
# Each with the holding by which an erasure reaches it, or why there is nothing of a person in it.
STORES = {
    "ambit.files.store": "originals",
    "ambit.files.holdings": "originals",
    "ambit.export.packing": "exports",
    "workers.export.pack": "exports",
    "ambit.adapters.store": "adapters",
    "ambit.jobs.broker": "queue",
    "ambit.jobs.holdings": "queue",
    "ambit.metering.buckets": "queue",
    "ambit.metering.places": "queue",
    "workers.tasks": "Redis' errors by name",
    "ambit.scan.flow": "processes that read what is searched",
    "workers.ingest.parse": "in memory, and an empty folder to live in, both gone with the parser",
    "workers.ingest.parsers.child": "a pipe to the worker",
    "workers.ingest.parsers.archives": "reads a file that is in memory",
    "workers.ingest.parsers.ooxml": "reads a file that is in memory",
    "workers.ingest.parsers.confine": "asks to be killed first when memory is short",
    "ambit.corpus.ingest": "the original of a text, through ambit.files.store",
    "ambit.corpus.disclosure": "opens what is sealed; no file",
    "ambit.corpus.queries": "opens what is sealed; no file",
    "ambit.corpus.search": "opens what is sealed; no file",
    "ambit.corpus.vault": "opens what is sealed; no file",
    "ambit.api.uploads": "a file without a name, which goes with the request",
    "ambit.api.health": "asks Redis whether it is there",
    "ambit.admin.health": "asks Redis whether it is there",
    "ambit.audit.archive": "sent while it is written",
    "ambit.audit.copies": "checkpoints: hashes and signatures",
    "ambit.audit.bucket": "checkpoints: hashes and signatures",
    "ambit.audit.program": "the verifier's source, in memory",
    "ambit.audit.verify": "reads an export, on another machine",
    "ambit.tombstones.ledger": "ids and keyed hashes of what must stay gone",
    "ambit.tombstones.lines": "for the ledger and the register of backups",
    "ambit.tombstones.register": "dates and places of backups",
    "ambit.keys.durable": "keys, which hold nothing of a person",
    "ambit.scan.containers": "reads what is searched",
    "ambit.scan.sources": "reads what is searched",
    "ambit.config.demo.flow": "the demo's own data directory, removed with it",
    "ambit.config.management.commands.backup": "backups: the receipt says until when they are kept",
    "ambit.config.management.commands.calibrate_retrieval": "one figure",
    "ambit.config.management.commands.scan_bytes": "the report, counts and places",
    "ambit.config.management.commands.write_verifier": "the verifier's source",
    "ambit.config.runtime.account": "reads a folder",
    "ambit.config.runtime.backup": "backups: the receipt says until when they are kept",
    "ambit.config.runtime.basebackup": "backups: the receipt says until when they are kept",
    "ambit.config.runtime.restore": "a data directory, of which nothing is served before tombstones are replayed",
    "ambit.config.runtime.lock": "a process id",
    "ambit.config.runtime.parts": "folders of parts: the scanner looks through them",
    "ambit.config.runtime.postgres": "Postgres' own files, which a scrub rewrites",
    "ambit.config.runtime.processes": "logs: constant words and ids",
    "ambit.config.runtime.redis": "Redis' own files: no snapshot, no append-only file",
}


def writers() -> Iterator[tuple[str, str]]:
    """Yield each module that may write somewhere, and the place."""
    for source in sources():
        if not source.is_migration:
            yield from ((source.module, place) for place in places(source))


def places(source: Source) -> Iterator[str]:
    """Yield where a module opens a place to write to, or imports what does."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and last_name(node.func) in _WRITERS:
            yield f"{source.place(node)} {ast.unparse(node.func)}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                {a.name for a in node.names}
                if isinstance(node, ast.Import)
                else {node.module or ""}
            )
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{a.name}" for a in node.names}
            if any(name == one or name.startswith(f"{one}.") for name in names for one in _MODULES):
                yield f"{source.place(node)} import"


def test_every_place_that_is_written_to_is_known_to_erasure() -> None:
    unknown = {place for module, place in writers() if module not in STORES}

    assert unknown == set(), (
        "Give it a Holding in ambit/erasure/registry.py, and name that here; or say why nothing of a person is in it."
    )


def test_what_is_listed_writes_and_names_a_holding_or_a_reason() -> None:
    names = {h.name for h in HOLDINGS}

    assert set(STORES) - {module for module, _ in writers()} == set()
    assert [m for m, why in STORES.items() if why not in names and " " not in why] == []


def test_no_holding_is_left_out_of_the_registry() -> None:
    assert unregistered(dict(sys.modules)) == [], "HOLDINGS of ambit/erasure/registry.py has it not"


def unregistered(modules: dict[str, object]) -> list[str]:
    """Return the holdings that our modules have and the registry has not."""
    return sorted(
        f"{name}.{attribute}"
        for name, module in modules.items()
        if name.split(".")[0] in {"ambit", "tenants", "workers"}
        for attribute, value in vars(module).items()
        if isinstance(value, Holding) and value not in HOLDINGS
    )


def test_a_holding_is_made_in_a_module_that_is_loaded_with_the_registry() -> None:
    makers = {s.module for s in sources() for _ in s.calls("Holding")}

    assert makers <= set(sys.modules)
    assert all(m.endswith(".holdings") or m == "tenants.holdings" for m in makers)


@pytest.mark.parametrize(
    "text",
    [
        "Path(folder, 'cache').write_text(passage)",
        "open('/tmp/copy', 'w').write(passage)",
        "redis.Redis.from_url(url).hset('recent', member, question)",
        "import sqlite3",
        "from django.core.cache import cache",
        "from django.core import cache",
        "def f():\n    import boto3",
        "os.symlink(one, other)",
        "tempfile.NamedTemporaryFile(delete=False)",
        "handler = logging.FileHandler('answers.log')",
    ],
)
def test_a_new_store_is_seen(text: str) -> None:
    assert list(places(Source("ambit/new.py", "ambit.new", text, ast.parse(text))))


def test_a_holding_that_nobody_registered_is_seen() -> None:
    class Module:
        NEW = Holding(
            name="new", title="New", found_by="a", destroyed_by="b", verified_by="c",
            find=lambda scope: 0, destroy=lambda scope: None, remains=lambda scope: 0,
        )  # fmt: skip

    assert unregistered({"ambit.new": Module}) == ["ambit.new.NEW"]
