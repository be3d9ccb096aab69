"""Store notes through the product's own steps, look for everybody, and count what was found."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from django.conf import settings

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document
from ambit.corpus.identifiers import CannotBeLookedFor, Identifier, IdentifierKind
from ambit.corpus.ingest import StoredChunk, open_source, store_chunks
from ambit.corpus.mentions import documents_mentioning
from ambit.corpus.queries import visible_documents
from ambit.corpus.types import SubjectRef, Upload
from ambit.erasure.candidates import find_candidates
from ambit.erasure.services import request_erasure
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from tests.database.erasures import keep_from_workers
from tests.database.worlds import grant, make_collection, make_member, make_tenant, working
from tests.finding.planted import Note, Person, otherwise_written, same
from workers.ingest.chunk import chunk, embedded_text
from workers.ingest.language import find_language
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.route import read_document

# Far from every question: nobody asks by meaning here.
_VECTOR = np.eye(1, settings.AMBIT_EMBED_DIMENSIONS, dtype=np.float32)[0]


@dataclass
class Tally:
    """How much there was to find, how much was found, and how much else."""

    there: int = 0
    found: int = 0
    wrong: int = 0
    refused: int = 0
    seconds: float = 0.0
    asked: int = 0

    @property
    def recall(self) -> float:
        """Return the share that was found."""
        return self.found / self.there if self.there else 1.0

    @property
    def precision(self) -> float:
        """Return the share of what was found that is right."""
        shown = self.found + self.wrong
        return self.found / shown if shown else 1.0


@dataclass
class Library:
    """A tenant with notes, by the ids of their documents."""

    tenant_id: UUID
    officer_id: UUID
    collection_id: UUID
    notes: dict[UUID, Note] = field(default_factory=dict)

    def store(self, note: Note) -> UUID:
        """Upload a note and ingest it: read, cut and stored as ever, but without embeddings."""
        data = note.text.encode()
        # In this process, unlike the product: the texts are no stranger's.
        parsed = read_document(data, suffix="txt", declared_mime="text/plain", limits=Limits())
        spans = chunk(parsed, title=note.title)
        with working(self.tenant_id):
            document_id = upload_document(
                clearance=clearance_for(member_id=self.officer_id),
                collection_id=self.collection_id,
                upload=Upload(note.title, "note.txt", "text/plain", [data]),
                grants=None,
            )
            job = Job.objects.filter(name="ingest.version").latest("id")
            held = claim(tenant_id=self.tenant_id, job_id=job.pk)
            assert held is not None
            chunks = [
                StoredChunk(
                    ordinal=span.ordinal,
                    char_start=span.char_start,
                    char_end=span.char_end,
                    page_first=None,
                    page_last=None,
                    n_tokens=span.n_tokens,
                    section=span.section,
                    text=span.text,
                    embedded_text=embedded_text(title=note.title, chunk=span),
                    vector=_VECTOR,
                )
                for span in spans
            ]
            store_chunks(
                held,
                source=open_source(held),
                chunks=chunks,
                text=parsed.text,
                language=find_language(parsed.text),
            )
        self.notes[document_id] = note
        return document_id

    def mentioning(self, identifier: Identifier) -> set[UUID]:
        """Return the documents in which an identifier truly stands, in whatever manner."""
        return {
            document_id
            for document_id, note in self.notes.items()
            if any(
                kind == identifier.kind and same(kind, value, identifier.value)
                for kind, value in note.mentions
            )
        }


def open_library(notes: Sequence[Note]) -> Library:
    """Make a tenant of these notes, all read by its privacy officer."""
    tenant_id = make_tenant()
    with working(tenant_id):
        officer_id = make_member("olivia", role="privacy_officer")
        collection_id = make_collection(grant("owner", member=officer_id))
    library = Library(tenant_id, officer_id, collection_id)
    for note in notes:
        library.store(note)
    return library


def look_for(library: Library, identifiers: Sequence[Identifier]) -> dict[IdentifierKind, Tally]:
    """Look for each identifier by itself, and count by kind."""
    tallies: defaultdict[IdentifierKind, Tally] = defaultdict(Tally)
    for identifier in identifiers:
        tally = tallies[identifier.kind]
        there = library.mentioning(identifier)
        tally.there += len(there)
        found = _found(library, identifier, tally)
        tally.found += len(found & there)
        tally.wrong += len(found - there)
    return dict(tallies)


def look_by_manner(
    library: Library, everybody: Sequence[Person], documents: Sequence[UUID]
) -> dict[tuple[IdentifierKind, str], Tally]:
    """Look for each person's identifiers, each written otherwise, and count by how they were planted."""
    tallies: defaultdict[tuple[IdentifierKind, str], Tally] = defaultdict(Tally)
    for person, document_id in zip(everybody, documents, strict=True):
        for one in person.identifiers:
            tally = tallies[one.kind, library.notes[document_id].manners[one.kind]]
            tally.there += 1
            found = _found(
                library, Identifier(one.kind, otherwise_written(one.kind, one.value)), tally
            )
            tally.found += document_id in found
    return dict(tallies)


def _found(library: Library, identifier: Identifier, tally: Tally) -> set[UUID]:
    began = time.monotonic()
    tally.asked += 1
    try:
        with working(library.tenant_id):
            return set(documents_mentioning([identifier]))
    except CannotBeLookedFor:
        tally.refused += 1
        return set()
    finally:
        tally.seconds += time.monotonic() - began


@dataclass
class Survival:
    """What became of namesakes when people were erased."""

    people: int = 0
    # Namesakes' documents that were offered, by the name alone.
    offered_by_name: int = 0
    # Offered by anything else: the namesake would be confirmed in good faith.
    offered_by_more: int = 0
    survived: int = 0
    hidden: int = 0
    own_hidden: int = 0


def erase_beside_namesakes(
    library: Library,
    everybody: Sequence[Person],
    documents: Sequence[UUID],
    namesakes: Sequence[UUID],
) -> Survival:
    """Erase people with the candidates that more than a name points to, and count who is still there."""
    counted = Survival()
    for person, own, other in zip(everybody, documents, namesakes, strict=True):
        with working(library.tenant_id, member_id=library.officer_id):
            clearance = clearance_for(member_id=library.officer_id)
            offered = find_candidates(
                identifiers=person.identifiers, clearance=clearance, limit=1000
            ).candidates
            by = {one.document_id: set(one.found_by) for one in offered}
            sure = [document_id for document_id, kinds in by.items() if kinds != {"name"}]
            request_erasure(
                subject=SubjectRef("email", person.values["email"]),
                document_ids=None,
                also_document_ids=sure or None,
                reason="Art. 17",
                dry_run=False,
            )
            keep_from_workers()
        counted.people += 1
        counted.offered_by_name += by.get(other) == {"name"}
        counted.offered_by_more += other in sure
        counted.own_hidden += own in sure
        there = _visible(library, [other])
        counted.survived += other in there
        counted.hidden += other not in there
    return counted


def _visible(library: Library, documents: Sequence[UUID]) -> set[UUID]:
    with working(library.tenant_id):
        clearance = clearance_for(member_id=library.officer_id)
        return visible_documents(document_ids=documents, clearance=clearance)
