"""Two tenants full of people, one small and one with a vector graph of its own, filled over the API."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from ambit.config.runtime.processes import ROOT
from ambit.scan.canaries import Canary
from tests.erasing.people import Person, Planned, people, planned
from tests.flows.service import Caller, Service, Tenant, uuid_of, wait_until

UPLOADS_AT_ONCE = 4
# One member among so many who are forgotten: each is a case of its own.
PEOPLE_FOR_A_MEMBER = 40
MOST_MEMBERS = 20
# One who stays for so many who are forgotten.
KEPT_FOR_EACH = 5
# So many neighbouring words of a passage, by their dimensions, are in no other passage's.
NEIGHBOURS = 3
_VECTORS: LiteralString = """
SELECT id, embedding::text FROM corpus_chunkvector WHERE tenant_id = %s AND document_id = ANY (%s)
"""
_WORDS: LiteralString = """
SELECT id, document_id, words::text FROM corpus_chunklexemes WHERE tenant_id = %s
"""
_KEYS: LiteralString = """
SELECT document_id, wrapped FROM corpus_documentkey WHERE tenant_id = %s AND document_id = ANY (%s)
"""


@dataclass
class Half:
    """One tenant: who in it is forgotten and who stays, and the documents they stand in."""

    name: str
    tenant: Tenant
    gone: list[Person]
    kept: list[Person]
    gone_documents: list[str] = field(default_factory=list)
    kept_documents: list[str] = field(default_factory=list)
    # Members of the tenant who are forgotten themselves, as people in nobody's document.
    members: list[Person] = field(default_factory=list)
    # Whether it gets a vector graph of its own.
    promoted: bool = False

    def fill(self) -> None:
        """Upload everybody, have members ask, and wait until all is found."""
        for one in self.members:
            self._join(one)
        for group, documents in (
            (self.gone, self.gone_documents),
            (self.kept, self.kept_documents),
        ):
            with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
                documents += pool.map(self._upload, planned(group))
        wait_until(lambda: self.tenant.n_jobs() == 0, "the end of all ingests", within_s=1200)
        failed = self.tenant.service.ask_database(
            "SELECT count(*) FROM corpus_version WHERE tenant_id = %s AND state <> 'ready'",
            self.tenant.uuid,
        )
        assert failed == [(0,)], f"{failed} documents were not ingested"
        if self.promoted:
            self._promote()

    def _promote(self) -> None:
        service = self.tenant.service
        command = [sys.executable, "manage.py", "arrange_graphs"]
        # Few enough for this tenant to be promoted at any size of the run.
        least = {"AMBIT_GRAPH_MIN_ROWS": str(len(self.gone_documents))}
        subprocess.run(
            command, cwd=ROOT, env=service.environment() | least, check=True, capture_output=True
        )
        graphs = service.ask_database(
            "SELECT count(*) FROM pg_class WHERE relname = %s",
            f"vector_graph_{self.tenant.uuid.hex}",
        )
        assert graphs == [(1,)], "the tenant got no graph"

    def _upload(self, one: Planned) -> str:
        return self.tenant.alice.upload_file(
            self.tenant.collection, one.file_name, one.content, **one.fields
        )

    def _join(self, one: Person) -> None:
        member = self.tenant.itself.post(
            "/v1/members", external_id=f"id-{one.email}", email=one.email, name=one.name,
            role="member",
        )  # fmt: skip
        made = self.tenant.itself.post(f"/v1/members/{member['id']}/keys", name=f"of {one.name}")
        asking = Caller(self.tenant.service.http, made["key"])
        asking.post("/v1/answers", question=f"What was prescribed to {one.name} last?")

    @property
    def canaries(self) -> list[Canary]:
        """People, vectors, words and keys of what is to go, read before it does."""
        ids = [uuid_of("document", one) for one in self.gone_documents]
        return [
            *(one.canary for one in (*self.gone, *self.members)),
            *self._vectors(ids),
            *self._words(set(ids)),
            *self._keys(ids),
        ]

    def _rows(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self.tenant.service.ask_database(statement, self.tenant.uuid, *values)

    def _vectors(self, ids: list[UUID]) -> list[Canary]:
        return [
            Canary(f"vector-{chunk}", vector=tuple(map(float, text.strip("[]").split(","))))
            for chunk, text in self._rows(_VECTORS, ids)
        ]

    def _words(self, gone: set[UUID]) -> list[Canary]:
        """Return the first run of words of each passage that no other passage has, as they are stored."""
        runs: dict[bytes, set[UUID]] = {}
        of_chunk: dict[UUID, list[bytes]] = {}
        for chunk, document, text in self._rows(_WORDS):
            pairs = text.partition("}")[0].strip("{").split(",")
            places = [int(pair.partition(":")[0]) - 1 for pair in pairs]
            of_chunk[chunk] = []
            for start in range(len(places) - NEIGHBOURS + 1):
                run = b"".join(p.to_bytes(4, "little") for p in places[start : start + NEIGHBOURS])
                runs.setdefault(run, set()).add(chunk)
                if document in gone:
                    of_chunk[chunk].append(run)
        return [
            Canary(f"words-{chunk}", raw=(alone[0],))
            for chunk, own in of_chunk.items()
            if (alone := [run for run in own if len(runs[run]) == 1])
        ]

    def _keys(self, ids: list[UUID]) -> list[Canary]:
        return [
            Canary(f"key-{document}", raw=(bytes(wrapped),))
            for document, wrapped in self._rows(_KEYS, ids)
        ]


def halves_of(service: Service, n_people: int, *, seed: int) -> list[Half]:
    """Make a small tenant and a big one, which gets a graph once it is filled."""
    n_kept = max(40, n_people // KEPT_FOR_EACH)
    everybody = people(n_people + n_kept, seed=seed)
    gone, kept = everybody[:n_people], everybody[n_people:]
    n_members = min(MOST_MEMBERS, n_people // PEOPLE_FOR_A_MEMBER)
    members, gone = gone[:n_members], gone[n_members:]
    fifth = len(gone) // 5
    half_of_kept = len(kept) // 2
    return [
        Half("small", service.tenant(), gone[:fifth], kept[:half_of_kept], members=members),
        Half("promoted", service.tenant(), gone[fifth:], kept[half_of_kept:], promoted=True),
    ]
