"""Every holding: it finds, it destroys what is covered, it touches nothing else, it looks again."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.db import IntegrityError
from pytest_django import Settings

from ambit.access.clearance import clearance_for
from ambit.corpus.queries import get_document_as_custodian, list_documents, read_content
from ambit.corpus.types import SubjectRef
from ambit.erasure.registry import HOLDINGS, TABLES
from ambit.erasure.services import take_up
from ambit.files.store import folder_of
from tenants.holding import Holding
from tenants.models import Account, AuditEvent, Member
from tenants.queries import get_tenant
from tests.database.erasures import (
    Town,
    counts,
    documents_seen,
    file,
    file_for,
    inhabit,
    receipt_of,
    redis,
    rows_of,
    view_of,
    work_on,
)
from tests.database.worlds import make_tenant, working
from workers.erase import destroy as destroying

# Numbers, times, ids and switches say nothing by themselves; a column of any other type can.
HARMLESS = [
    "uuid",
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "timestamp with time zone",
]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A town after a case was closed."""

    town: Town
    case_id: UUID
    identifiers: tuple[str, ...]
    state: str
    receipt: dict[str, Any]


@pytest.fixture
def town() -> Town:
    return inhabit()


@pytest.fixture(scope="module")
def forgotten(_database: None) -> Forgotten:
    """Return a town that has forgotten Alice."""
    town = inhabit()
    with working(town.tenant_id):
        alice = Member.objects.get(pk=town.alice)
    case_id = file_for(town)
    state = work_on(town.tenant_id, case_id).state
    receipt = receipt_of(town.tenant_id, case_id)
    return Forgotten(town, case_id, (alice.email, alice.external_id, alice.name), state, receipt)


def test_every_holding_finds_destroys_and_looks_again(forgotten: Forgotten) -> None:
    receipt = forgotten.receipt
    found = {
        "jobs": 1,
        "exports": 1,
        "document_keys": 3,
        "originals": 6,
        "vectors": 9,
        "search_words": 9,
        "chunk_texts": 9,
        "answers": 3,
        "adapters": 1,
        "declared_subjects": 4,
        "mentions": 6,
        "grants": 1,
        "versions": 3,
        "documents": 3,
        "uploader_links": 2,
        "audience_places": 1,
        "sessions": 1,
        "idempotency_records": 1,
        "group_memberships": 1,
        "api_keys": 1,
        "accounts": 1,
        "members": 1,
        "queue": 1,
        "model_cache": 1,
    }
    assert forgotten.state == "closed"
    assert counts(receipt, "found") == found
    assert counts(receipt, "destroyed") == found
    assert counts(receipt, "remaining") == dict.fromkeys(found, 0)
    assert [h["name"] for h in receipt["holdings"]] == [h.name for h in HOLDINGS]
    assert list(found) == [h.name for h in HOLDINGS], "make the town hold something there"


def test_nothing_else_in_the_tenant_is_touched(town: Town, superuser: psycopg.Connection) -> None:
    before = rows_of(superuser, town.tenant_id)
    with working(town.tenant_id, custody=True):
        member = Member.objects.get(pk=town.alice)
    case_id = file(town.tenant_id, subject=SubjectRef("email", member.email)).id
    assert case_id is not None
    work_on(town.tenant_id, case_id)

    after = rows_of(superuser, town.tenant_id)

    covered = {
        str(one)
        for one in (
            *town.about_alice,
            town.alice,
            *town.answers,
            town.export_of_alice,
            town.adapter,
        )
    }
    touched = [
        (table, row)
        for table in before
        for row in before[table] ^ after[table]
        if not any(one in row for one in covered)
    ]
    # Her document's job names its version, and her mark as uploader is gone from a kept document.
    assert {table for table, _ in touched} <= {"corpus_document"}
    assert all(str(town.uploaded_by_alice) in row for _, row in touched)
    assert documents_seen(town) == {
        town.uploaded_by_alice,
        town.about_bob,
        town.about_namesake,
    }


def test_what_is_kept_still_opens(forgotten: Forgotten) -> None:
    town = forgotten.town

    with working(town.tenant_id):
        clearance = clearance_for(member_id=town.bob)
        for document_id in (town.uploaded_by_alice, town.about_bob, town.about_namesake):
            document, content = read_content(document_id=document_id, clearance=clearance)
            assert document.title == "A document"
            assert b"Alice Lind lives at Quay Lane" in b"".join(content)
        assert Member.objects.filter(pk=town.namesake, suspended_at=None).exists()
        assert redis().exists(f"calls:{town.bob}")
        assert Account.objects.using("default").filter(member_id=town.bob).exists()


def test_another_tenants_person_of_the_same_address_is_not_touched(
    town: Town, superuser: psycopg.Connection
) -> None:
    with working(town.tenant_id):
        email = Member.objects.get(pk=town.alice).email
    other = inhabit(email=email)
    before = rows_of(superuser, other.tenant_id)

    work_on(town.tenant_id, file_for(town))

    assert rows_of(superuser, other.tenant_id) == before
    assert documents_seen(other) == other.everything
    with working(other.tenant_id):
        assert get_tenant().salt_epoch == 1
        accounts = Account.objects.using("default").filter(member_id=other.alice)
        ids = {str(pk) for pk in accounts.values_list("pk", flat=True)}
    signed_in = {s.get_decoded().get("_auth_user_id") for s in Session.objects.all()}
    assert ids <= signed_in


def test_nothing_of_an_erased_document_is_in_its_row(forgotten: Forgotten) -> None:
    town = forgotten.town

    with working(town.tenant_id, custody=True):
        for document_id in town.about_alice:
            tombstone = get_document_as_custodian(document_id=document_id)
            assert (tombstone.title, tombstone.file_name, tombstone.metadata) == ("", "", {})
            assert tombstone.external_id is None
            assert (tombstone.latest.state, tombstone.latest.language) == ("erased", "")
            assert tombstone.erased_at is not None


def test_an_erased_document_is_not_listed(forgotten: Forgotten) -> None:
    town = forgotten.town

    with working(town.tenant_id):
        clearance = clearance_for(member_id=town.bob)
        listed = list_documents(clearance=clearance, after=None, limit=50)

    assert {d.id for d in listed} == town.everything - set(town.about_alice)


def test_no_file_of_an_erased_document_is_left(forgotten: Forgotten) -> None:
    town = forgotten.town

    for document_id in town.about_alice:
        place = folder_of(tenant_id=town.tenant_id, document_id=document_id)
        assert place.is_file()
        assert place.stat().st_size == 0
    kept = folder_of(tenant_id=town.tenant_id, document_id=town.about_bob)
    assert len(list(kept.iterdir())) == 2


def test_a_half_written_file_goes_too(town: Town) -> None:
    folder = folder_of(tenant_id=town.tenant_id, document_id=town.about_alice[0])
    (folder / f"{UUID(int=1)}.original.partial").write_bytes(b"half")
    case_id = file_for(town)

    work_on(town.tenant_id, case_id)

    assert counts(receipt_of(town.tenant_id, case_id), "destroyed")["originals"] == 7


def test_a_person_of_whom_nothing_is_held_gets_a_receipt_too() -> None:
    tenant_id = make_tenant()

    case_id = file(tenant_id, subject=SubjectRef("email", "nobody@example.org")).id

    assert case_id is not None
    view = work_on(tenant_id, case_id)
    receipt = receipt_of(tenant_id, case_id)
    assert view.state == "closed"
    assert receipt["outcome"] == "nothing held"
    assert receipt["complete"] is True
    assert counts(receipt, "found") == {}


def test_a_receipt_says_what_is_not_gone_and_repeats_nobody(forgotten: Forgotten) -> None:
    receipt = forgotten.receipt
    text = str(receipt)
    assert receipt["outcome"] == "destroyed"
    assert [s["state"] for s in receipt["states"]] == [
        "received",
        "hidden",
        "scoped",
        "shredded",
        "scrubbed",
        "verified",
        "closed",
    ]
    words = " ".join(receipt["not_yet_gone"])
    assert all(w in words for w in ("ciphertext", "Backups", "blocks"))
    assert any("free text" in limit for limit in receipt["limits"])
    assert any("1 of the documents also declare" in limit for limit in receipt["limits"])
    assert not any(w in text for w in (*forgotten.identifiers, "Quay Lane"))
    assert re.fullmatch(r"[0-9a-f]{64}", receipt["subject"]["hash"])


def test_the_course_of_a_case_is_audited(forgotten: Forgotten) -> None:
    with working(forgotten.town.tenant_id):
        events = AuditEvent.objects.filter(object_id=forgotten.case_id).order_by("pk")
        actions = list(events.values_list("action", "actor_kind"))
    assert actions == [
        ("erasure.requested", "service"),
        ("erasure.scoped", "worker"),
        ("erasure.shredded", "worker"),
        ("erasure.scrubbed", "worker"),
        ("erasure.closed", "worker"),
    ]


def test_the_second_look_sees_in_every_holding_what_is_not_destroyed(town: Town) -> None:
    case_id = file_for(town)

    with working(town.tenant_id, custody=True):
        scope = take_up(case_id).scope
        seen = {holding.name: holding.remains(scope) for holding in HOLDINGS}

    assert {name for name, n in seen.items() if n == 0} == set()


def test_the_second_look_sees_nothing_of_anybody_else(town: Town) -> None:
    other = inhabit()
    case_id = file_for(town)
    with working(town.tenant_id, custody=True):
        scope = take_up(case_id).scope

    with working(other.tenant_id, custody=True):
        elsewhere = replace(scope, tenant_id=other.tenant_id, salt_epoch=None)
        rows = [h for h in HOLDINGS if h.name not in {"originals", "queue", "sessions"}]
        seen = {holding.name: holding.remains(elsewhere) for holding in rows}

    assert set(seen.values()) == {0}


@pytest.mark.parametrize("skipped", ["vectors", "members", "answers"])
def test_a_row_that_is_left_keeps_the_case_open(
    town: Town, monkeypatch: pytest.MonkeyPatch, skipped: str
) -> None:
    case_id = file_for(town)
    monkeypatch.setattr(destroying, "HOLDINGS", _without(skipped))

    # Postgres itself refuses to take away what the row left behind still points at.
    refused = skipped in {"vectors", "answers"}
    with pytest.raises(IntegrityError) if refused else nullcontext():
        work_on(town.tenant_id, case_id)

    assert view_of(town.tenant_id, case_id).state == ("scoped" if refused else "incomplete")
    monkeypatch.undo()
    assert work_on(town.tenant_id, case_id).state == "closed"


def test_a_case_with_something_left_says_what_and_is_closed_once_it_is_gone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = file_for(town)
    monkeypatch.setattr(
        destroying, "HOLDINGS", _without("search_words", "chunk_texts", "originals")
    )
    incomplete = work_on(town.tenant_id, case_id)
    first = receipt_of(town.tenant_id, case_id)
    monkeypatch.undo()

    closed = work_on(town.tenant_id, case_id)

    second = receipt_of(town.tenant_id, case_id)
    assert (incomplete.state, closed.state) == ("incomplete", "closed")
    assert (first["complete"], second["complete"]) == (False, True)
    assert first["outcome"] == "incomplete"
    assert [line.rpartition(": ")[2] for line in first["left"]] == ["6 left", "9 left", "9 left"]
    assert counts(second, "destroyed") == counts(second, "found")
    assert second["left"] == []


@pytest.mark.parametrize("place", ["queue", "originals"])
def test_a_place_that_does_not_answer_keeps_the_case_open(
    town: Town, place: str, settings: Settings, tmp_path: Path
) -> None:
    case_id = file_for(town)
    before = settings.REDIS_URL, settings.AMBIT_ORIGINALS_DIR
    if place == "queue":
        settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    else:
        settings.AMBIT_ORIGINALS_DIR = tmp_path

    incomplete = work_on(town.tenant_id, case_id)

    receipt = receipt_of(town.tenant_id, case_id)
    settings.REDIS_URL, settings.AMBIT_ORIGINALS_DIR = before
    closed = work_on(town.tenant_id, case_id)
    assert (incomplete.state, closed.state) == ("incomplete", "closed")
    assert [h["name"] for h in receipt["holdings"] if h["remaining"] is None] == [place]
    assert "could not be reached" in receipt["left"][0]


def test_every_column_of_the_database_that_can_hold_content_is_declared(
    superuser: psycopg.Connection,
) -> None:
    rows = superuser.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND NOT data_type = ANY (%s)",
        [HARMLESS],
    ).fetchall()

    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    declared = {name: set(table.content) for name, table in TABLES.items() if table.content}
    # What no model knows of: random salts, and how far the sequencer has come.
    declared["tenants_auditevent"] |= {"who_salt", "what_salt", "xact"}
    declared["audit_watermark"] = {"task", "xact"}
    # Hashes of lines of the ledger of tombstones, which hold ids and keyed hashes.
    declared["erasure_tombstone"] = {"line_hash", "covers"}
    assert {t: c for t, c in columns.items() if c != declared.get(t)} == {}


def _without(*names: str) -> tuple[Holding, ...]:
    return tuple(holding for holding in HOLDINGS if holding.name not in names)
