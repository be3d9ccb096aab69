"""Identifiers in documents: kept as keyed hashes with the chunks, found again, gone with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ambit.access.clearance import clearance_for
from ambit.access.documents import replace_content, set_document_grants
from ambit.corpus import ingest as corpus
from ambit.corpus.identifiers import Identifier, IdentifierKind
from ambit.corpus.mentions import count_not_looked_through, documents_mentioning
from ambit.corpus.models import Version
from ambit.corpus.services import hide_documents
from ambit.corpus.types import Upload
from ambit.erasure.restrictions import place_restriction
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, ClaimLost, claim
from tests.database.erasures import Town, file, inhabit, work_on
from tests.database.worlds import (
    Passage,
    grant,
    ingest,
    make_collection,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)


class Place:
    """A tenant with a member who owns a collection."""

    def __init__(self) -> None:
        self.tenant_id = make_tenant()
        with working(self.tenant_id):
            self.member_id = make_member()
            self.collection_id = make_collection(grant("owner", member=self.member_id))

    def publish(self, *texts: str, **more: Any) -> UUID:
        """Publish a document with a passage for each text."""
        return publish(
            tenant_id=self.tenant_id,
            by=self.member_id,
            collection_id=self.collection_id,
            passages=[Passage(text, unit(0)) for text in texts],
            **more,
        )

    def found(self, kind: IdentifierKind, value: str) -> set[UUID]:
        """Return the documents that mention one identifier."""
        with working(self.tenant_id):
            return set(documents_mentioning([Identifier(kind, value)]))


@pytest.fixture
def place(_database: None) -> Place:
    return Place()


def mentions_of(look: psycopg.Connection, document_id: UUID) -> list[tuple[Any, ...]]:
    return look.execute(
        "SELECT kind, value_mac, audience_id FROM corpus_mention WHERE document_id = %s",
        [document_id],
    ).fetchall()


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("email", "Jo@Example.org", "Write to jo@example.org."),
        ("phone", "+49 30 1234567", "Call 030 / 123 45 67."),
        ("identifier", "WK48391724", "Record wk-4839-1724."),
        ("name", "Jo Lind", "It was LIND, Jo."),
    ],
)
def test_what_stands_in_a_text_is_found_and_nothing_else(
    place: Place, kind: IdentifierKind, value: str, text: str
) -> None:
    mentioning = place.publish("The harbor opens at six.", text)
    place.publish("Write to mo@example.org, call 030 1234568, record WK48391725, Mo Lind.")

    assert place.found(kind, value) == {mentioning}
    assert Place().found(kind, value) == set()


def test_what_describes_a_document_counts_too(place: Place) -> None:
    titled = place.publish("Nothing.", title="Reference for Zo\u00eb Lind, 030 1234567")
    described = place.publish(
        "Nothing.", metadata={"of": ["Zoe Lind", {"deep": "zoe@example.org"}]}
    )
    numbered = place.publish("Nothing.", external_id="patient-0012345")

    assert place.found("name", "Zo\u00eb Lind") == {titled, described}
    assert place.found("phone", "+49301234567") == {titled}
    assert place.found("email", "zoe@example.org") == {described}
    assert place.found("identifier", "0012345") == {numbered}


def test_a_name_stands_in_one_passage_or_not_at_all(place: Place) -> None:
    together = place.publish("Zoe met Mr Lind.", "Nothing.")
    place.publish("Zoe was here.", "Mr Lind was here.")
    place.publish("Zoe was here.", title="Lind")

    assert place.found("name", "Zoe Lind") == {together}


def test_a_name_that_is_a_small_word_is_asked_for_where_it_is_none(place: Place) -> None:
    english = place.publish("Then Will Smith came.", language="en")
    smith = place.publish("Then Mrs Smith came.", language="en")
    german = place.publish("Dann kam Will Smith.", language="fr")
    place.publish("Dann kam Frau Smith.", language="fr")
    place.publish("Then he will come.", language="en")

    # English leaves `will` out of its index: of English texts, every Smith is offered.
    assert place.found("name", "Will Smith") == {english, smith, german}


def test_several_identifiers_are_counted_by_kind(place: Place) -> None:
    both = place.publish("Jo Lind, jo@example.org, lind@example.org")
    one = place.publish("lind@example.org")
    asked = [
        Identifier("email", "jo@example.org"),
        Identifier("email", "lind@example.org"),
        Identifier("name", "Jo Lind"),
    ]

    with working(place.tenant_id):
        found = documents_mentioning(asked)

    assert found == {both: {"email": 2, "name": 1}, one: {"email": 1}}


def test_a_new_version_replaces_what_the_old_one_mentions(place: Place) -> None:
    document_id = place.publish("jo@example.org")
    with working(place.tenant_id):
        replace_content(
            document_id=document_id,
            clearance=clearance_for(member_id=place.member_id),
            upload=Upload("", "document.txt", "text/plain", [b"mo@example.org"]),
        )
        before = documents_mentioning([Identifier("email", "jo@example.org")])
        waiting = count_not_looked_through()
        ingest(tenant_id=place.tenant_id, passages=[Passage("mo@example.org", unit(0))])

    assert (set(before), waiting) == ({document_id}, 1)
    assert place.found("email", "jo@example.org") == set()
    assert place.found("email", "mo@example.org") == {document_id}


def test_mentions_follow_a_document_to_another_audience(
    place: Place, superuser: psycopg.Connection
) -> None:
    document_id = place.publish("jo@example.org")
    (before, *_) = mentions_of(superuser, document_id)
    with working(place.tenant_id):
        other = make_member()
        set_document_grants(
            document_id=document_id,
            clearance=clearance_for(member_id=place.member_id),
            grants=[grant("owner", member=place.member_id), grant("reader", member=other)],
        )

    audiences = {row[2] for row in mentions_of(superuser, document_id)}

    assert len(audiences) == 1
    assert audiences != {before[2]}
    assert place.found("email", "jo@example.org") == {document_id}


def test_no_mention_is_kept_in_clear_or_under_the_same_hash_elsewhere(
    place: Place, superuser: psycopg.Connection
) -> None:
    other = Place()
    ours, theirs = (p.publish("jo@example.org", title="Zzyzx") for p in (place, other))

    found, elsewhere = (mentions_of(superuser, one) for one in (ours, theirs))

    assert sorted(kind for kind, *_ in found) == ["email", "word", "word", "word"]
    assert {len(mac) for _, mac, _ in found} == {16}
    assert not {mac for _, mac, _ in found} & {mac for _, mac, _ in elsewhere}
    rows = superuser.execute("SELECT m::text FROM corpus_mention m").fetchall()
    texts = [word.encode().hex() for word in ("jo@", "zzyzx")]
    assert not [row for (row,) in rows if any(text in row for text in texts)]


def test_more_than_is_kept_counts_as_not_looked_through(
    place: Place, monkeypatch: pytest.MonkeyPatch, superuser: psycopg.Connection
) -> None:
    monkeypatch.setattr(corpus, "MAX_MENTIONS", 4)
    few = place.publish("a@example.org")
    many = place.publish("a@example.org b@example.org c@example.org d@example.org 12345678")

    with working(place.tenant_id):
        n = count_not_looked_through()

    assert [len(mentions_of(superuser, one)) for one in (few, many)] == [3, 4]
    assert n == 1
    assert place.found("email", "d@example.org") == {many}


def test_what_has_no_content_yet_or_none_to_read_was_not_looked_through(place: Place) -> None:
    ready = place.publish("jo@example.org")
    with working(place.tenant_id, custody=True):
        before = count_not_looked_through()
        # As ingested by a version that did not look for identifiers.
        Version.objects.filter(document_id=ready).update(n_mentions=None)
        after = count_not_looked_through()

    assert (before, after) == (0, 1)


def test_what_is_deleted_is_not_found_and_what_is_withheld_is(place: Place) -> None:
    deleted, withheld = (place.publish("Jo Lind, jo@example.org") for _ in range(2))
    with working(place.tenant_id, custody=True):
        hide_documents(document_ids=[deleted])
        place_restriction(subject=None, document_ids=[withheld], reason="a test")

    assert place.found("email", "jo@example.org") == {withheld}
    assert place.found("name", "Jo Lind") == {withheld}


def begun(place: Place, document_id: UUID, text: str) -> tuple[Claim, corpus.Source]:
    """Replace a document's content and begin to ingest it, so that nobody else takes the job."""
    with working(place.tenant_id):
        replace_content(
            document_id=document_id,
            clearance=clearance_for(member_id=place.member_id),
            upload=Upload("", "document.txt", "text/plain", [text.encode()]),
        )
        job = Job.objects.filter(name="ingest.version").latest("id")
        held = claim(tenant_id=place.tenant_id, job_id=job.pk)
        assert held is not None
        return held, corpus.open_source(held)


def test_a_worker_that_comes_late_stores_no_mention(
    place: Place, superuser: psycopg.Connection
) -> None:
    document_id = place.publish("jo@example.org")
    held, source = begun(place, document_id, "jo@example.org")
    case_id = file(place.tenant_id, documents=[document_id]).id
    assert case_id is not None
    work_on(place.tenant_id, case_id)

    with pytest.raises((corpus.NothingToDo, ClaimLost)):
        corpus.store_chunks(held, source=source, chunks=[], text="jo@example.org")

    assert mentions_of(superuser, document_id) == []


def test_only_the_forgotten_persons_mentions_go(superuser: psycopg.Connection) -> None:
    town = inhabit()
    case_id = file(town.tenant_id, documents=[town.about_bob]).id
    assert case_id is not None
    before = _by_document(superuser, town)

    work_on(town.tenant_id, case_id)

    after = _by_document(superuser, town)
    assert town.about_bob in before
    assert after == {one: rows for one, rows in before.items() if one != town.about_bob}


def _by_document(look: psycopg.Connection, town: Town) -> dict[UUID, Sequence[object]]:
    return {one: rows for one in town.everything if (rows := sorted(mentions_of(look, one)))}


def test_mentions_are_stored_with_the_chunks_or_not_at_all(
    place: Place, monkeypatch: pytest.MonkeyPatch, superuser: psycopg.Connection
) -> None:
    class Killed(Exception):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    document_id = place.publish("jo@example.org")
    before = sorted(mentions_of(superuser, document_id))
    held, source = begun(place, document_id, "mo@example.org")
    monkeypatch.setattr(corpus, "record", die)
    with pytest.raises(Killed):
        corpus.store_chunks(held, source=source, chunks=[], text="mo@example.org")

    assert sorted(mentions_of(superuser, document_id)) == before
