"""An installation of the tests' own to back up, another to restore it to, and the people whose data is in it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from django.core.management import call_command
from django.test import override_settings

from ambit.config.embedded import Embedded
from ambit.corpus.types import SubjectRef
from ambit.keys.signing import make_signing_key
from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.report import Report
from ambit.scan.stores import Store
from tenants.models import Member
from tests.database.erasures import LETTERS, seen_by
from tests.database.private import PrivateDatabase, superuser_url
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    random_vectors,
    working,
)


class Installation:
    """A database with its files, keys and ledger, in folders of its own."""

    def __init__(self, data_dir: Path) -> None:
        """Describe it; nothing is made."""
        self.embedded = Embedded(data_dir)
        self._database: PrivateDatabase | None = None

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Let the settings name this installation's folders until the block ends."""
        with override_settings(
            EMBEDDED=self.embedded,
            AMBIT_DATA_DIR=self.embedded.data_dir,
            AMBIT_ORIGINALS_DIR=self.embedded.originals_dir,
            AMBIT_KEYRING_DIR=self.embedded.keyring_dir,
            AMBIT_TOMBSTONES_DIR=self.embedded.tombstones_dir,
            AMBIT_AUDIT_COPIES_DIR=self.embedded.audit_dir,
        ):
            yield

    def start(self, *, is_new: bool) -> None:
        """Start the database."""
        with self.settings():
            self._database = PrivateDatabase(self.embedded.data_dir, is_new=is_new)
            if is_new:
                make_signing_key()

    def stop(self) -> None:
        """Stop the database; its folders stay."""
        if self._database is not None:
            self._database.stop()
            self._database = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Be the installation that the application works on until the block ends."""
        assert self._database is not None
        with self.settings(), self._database.in_use():
            yield

    @property
    def database(self) -> PrivateDatabase:
        """The running database."""
        assert self._database is not None
        return self._database

    def bring(self, other: Installation, *names: str) -> None:
        """Bring what no backup has from another installation."""
        self.embedded.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            source, target = other.embedded.data_dir / name, self.embedded.data_dir / name
            if source.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)

    def look(self, canaries: list[Canary], *, everywhere: bool = True) -> Report:
        """Look through every byte of it, or through the tables' files alone."""
        stores = [Store("data", self.embedded.data_dir, is_data_dir=True)]
        if not everywhere:
            stores = [Store("postgres", self.embedded.postgres_dir / "base")]
        return scan(canaries, stores, database=superuser_url(self.embedded), jobs=2)


@dataclass(frozen=True)
class Person:
    """A member with a document that declares the person, whose vector and address are nobody else's."""

    member: UUID
    email: str
    word: str
    document: UUID
    canaries: tuple[Canary, ...]

    @property
    def subject(self) -> SubjectRef:
        """How a request names the person."""
        return SubjectRef("email", self.email)


@dataclass(frozen=True)
class Village:
    """A tenant, who reads everything in it, and its people."""

    tenant_id: UUID
    reader: UUID
    collection_id: UUID

    def settle(self, seed: int) -> Person:
        """Add a person."""
        with working(self.tenant_id):
            member_id = make_member("villager")
            email = str(Member.objects.get(pk=member_id).email)
        word = uuid4().hex.translate(LETTERS)
        vector = random_vectors(1, seed=20_261_122 + seed)[0]
        document = publish(
            tenant_id=self.tenant_id,
            by=self.reader,
            collection_id=self.collection_id,
            passages=[Passage(f"{word} lives at Quay Lane.", vector)],
            subjects=(SubjectRef("email", email),),
        )
        numbers = tuple(float(one) for one in vector)
        canaries = (
            Canary(f"mail-{seed}", texts=(email,)),
            Canary(f"vector-{seed}", vector=numbers),
        )
        return Person(member_id, email, word, document, canaries)

    def finds(self, person: Person) -> bool:
        """Say whether the reader finds a person's document."""
        with working(self.tenant_id):
            return any(p.document_id == person.document for p in seen_by(self.reader))


def found_village() -> Village:
    """Make a tenant with a reader."""
    tenant_id = make_tenant()
    with working(tenant_id):
        reader = make_member("reader", role="admin")
        collection_id = make_collection(grant("owner", member=reader))
    return Village(tenant_id, reader, collection_id)


def command(name: str, *arguments: str) -> str:
    """Run one of manage.py's commands here and return what it said."""
    said = io.StringIO()
    call_command(name, *arguments, stdout=said, stderr=said)
    return said.getvalue()
