"""Receipts where they are written: signed with the case's end, kept as they were, and on paper."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pypdfium2
import pytest
from django.db import ProgrammingError, connection
from pytest_django import Settings
from reportlab.pdfbase.ttfonts import TTFontFile

from ambit.audit.flow import trail_signer
from ambit.audit.models import Checkpoint, Leaf
from ambit.audit.proofs import read_head
from ambit.audit.receipts import FORMAT, WRITTEN, fingerprint, read_receipt
from ambit.audit.verify import Key, read_note
from ambit.corpus.types import SubjectRef
from ambit.erasure import printed
from ambit.erasure.models import Erasure, Receipt
from ambit.erasure.position import read_position
from ambit.erasure.printed import FONT, OUTCOMES, UNSIGNED, print_receipt
from ambit.erasure.queries import ReceiptNotReady, get_receipt
from ambit.erasure.receipts import said_in
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.services import refuse_erasure
from ambit.erasure.waiting import KEYS, WORDS
from ambit.keys.keyring import KeyUnavailable
from ambit.keys.signing import FILE
from tenants.models import AuditEvent, Member
from tests.audit.trails import sign_all
from tests.database.erasures import (
    Town,
    file,
    file_for,
    file_pending,
    inhabit,
    receipt_of,
    work_on,
    work_until_it_waits,
)
from tests.database.holding import hold, release, work_on_until
from tests.database.worlds import make_tenant, working


@pytest.fixture
def town() -> Town:
    return inhabit()


def held_and_closed(town: Town) -> tuple[UUID, dict[str, Any], dict[str, Any]]:
    """Erase in two goes; return the case and both receipts."""
    found = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)
    work_on_until(town, case_id, "held")
    first = receipt_of(town.tenant_id, case_id)
    release(town, found)
    work_on_until(town, case_id, "closed")
    return case_id, first, receipt_of(town.tenant_id, case_id)


def the_key() -> Key:
    return Key.read(trail_signer().key)


def test_a_receipt_is_signed_and_a_later_one_names_the_one_before(town: Town) -> None:
    case_id, first, second = held_and_closed(town)

    one, other = (read_receipt(json.dumps(shown), the_key()) for shown in (first, second))
    assert (one.erasure, other.erasure) == (case_id, case_id)
    assert (one.serial, one.previous, one.state) == (1, None, "held")
    assert (other.serial, other.previous, other.state) == (2, fingerprint(one.note), "closed")
    with working(town.tenant_id):
        assert get_receipt(erasure_id=case_id, serial=1) == first
        assert get_receipt(erasure_id=case_id, serial=2) == second
        with pytest.raises(ReceiptNotReady):
            get_receipt(erasure_id=case_id, serial=3)


def test_what_was_signed_is_never_composed_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, _, before = held_and_closed(town)
    monkeypatch.setattr("workers.erase.receipt.NOT_YET_GONE", ("other words",))
    monkeypatch.setattr("ambit.erasure.queries.REFUSED", "other words")

    assert receipt_of(town.tenant_id, case_id) == before
    with working(town.tenant_id):
        (note,) = Receipt.objects.filter(serial=2).values_list("note", flat=True)
    assert note == before["signed"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE erasure_receipt SET note = 'x'",
        "UPDATE erasure_receipt SET serial = 7",
        "DELETE FROM erasure_receipt",
        "TRUNCATE erasure_receipt",
    ],
)
def test_the_application_changes_no_receipt(town: Town, change: str) -> None:
    work_on(town.tenant_id, file_for(town))

    with (
        pytest.raises(ProgrammingError, match="denied"),
        working(town.tenant_id),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)


def test_the_log_names_each_receipt_and_counts_them(town: Town) -> None:
    case_id, first, second = held_and_closed(town)

    with working(town.tenant_id):
        named = set(AuditEvent.objects.filter(action=WRITTEN).values_list("object_id", flat=True))
        ends = dict(
            AuditEvent.objects.filter(
                object_id=case_id, action__in=("erasure.held", "erasure.closed")
            ).values_list("action", "counts")
        )
    assert named == {read_receipt(r["signed"], the_key()).id for r in (first, second)}
    assert ends == {"erasure.held": {"receipts": 1}, "erasure.closed": {"receipts": 2}}


def test_it_tells_how_the_log_stood_then(town: Town) -> None:
    work_on(town.tenant_id, file(town.tenant_id, documents=[town.about_bob]).id or uuid4())
    sign_all(town.tenant_id)
    case_id = file_for(town)
    with working(town.tenant_id):
        head = read_head()
        n_numbered = Leaf.objects.count()
        note = Checkpoint.objects.order_by("-size").values_list("note", flat=True)[0]

    work_on(town.tenant_id, case_id)

    log = receipt_of(town.tenant_id, case_id)["log"]
    told = read_note(log["checkpoint"], the_key())
    assert log["key"] == the_key().text
    assert (log["size"], log["checkpoint"]) == (n_numbered, note)
    assert (told.size, told.root) == (head.size, head.root)
    assert log["size"] > 0


def test_before_anything_was_signed_it_says_so() -> None:
    tenant_id = make_tenant()
    case_id = file(tenant_id, subject=SubjectRef("email", "nobody@example.org")).id
    assert case_id is not None
    work_on(tenant_id, case_id)

    log = receipt_of(tenant_id, case_id)["log"]

    assert (log["size"], log["checkpoint"]) == (0, None)


def test_it_tells_where_the_database_stood_when_it_was_verified(town: Town) -> None:
    case_id = file_for(town)
    with working(town.tenant_id):
        before = read_position()
        asked = Erasure.objects.get(pk=case_id).request_xid

    work_on(town.tenant_id, case_id)

    receipt = receipt_of(town.tenant_id, case_id)
    with working(town.tenant_id):
        after = read_position()
    told = receipt["database"]
    assert _lsn(before.wal) < _lsn(told["wal"]) < _lsn(after.wal)
    assert asked < told["oldest_transaction"] <= after.oldest_transaction
    assert str(before.at.isoformat()) < told["at"] < receipt["written_at"]


def _lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def test_it_says_of_every_place_how_and_of_backups_what_is_known(town: Town) -> None:
    case_id = file_for(town)
    work_on(town.tenant_id, case_id)

    receipt = receipt_of(town.tenant_id, case_id)

    ways = {h.name: (h.found_by, h.destroyed_by, h.verified_by) for h in HOLDINGS}
    told = {
        h["name"]: (h["found_by"], h["destroyed_by"], h["verified_by"]) for h in receipt["holdings"]
    }
    assert told == ways
    assert all(all(words) for words in ways.values())
    assert {h["why_left"] for h in receipt["holdings"]} == {None}
    assert receipt["backups"] == {
        "expire_at": None,
        "words": "No backup is known to this installation.",
    }


def test_a_place_that_could_not_be_reached_is_told_with_the_reason(
    town: Town, settings: Settings, tmp_path: Path
) -> None:
    case_id = file_for(town)
    settings.AMBIT_ORIGINALS_DIR = tmp_path
    work_on(town.tenant_id, case_id)

    left = [h for h in receipt_of(town.tenant_id, case_id)["holdings"] if h["why_left"]]

    assert [(h["name"], h["remaining"]) for h in left] == [("originals", None)]
    assert "could not be reached" in left[0]["why_left"]


def _without_the_key(settings: Settings, tmp_path: Path) -> str:
    before = str(settings.AMBIT_KEYRING_DIR)
    shutil.copytree(before, tmp_path / "keyring", ignore=shutil.ignore_patterns(FILE))
    settings.AMBIT_KEYRING_DIR = str(tmp_path / "keyring")
    return before


def test_without_the_key_a_case_waits_and_is_closed_once_it_is_back(
    town: Town, settings: Settings, tmp_path: Path
) -> None:
    case_id = file_for(town)
    before = _without_the_key(settings, tmp_path)

    waiting = work_until_it_waits(town.tenant_id, case_id)

    with pytest.raises(ReceiptNotReady):
        receipt_of(town.tenant_id, case_id)
    settings.AMBIT_KEYRING_DIR = before
    assert waiting.state in {"shredded", "scrubbed"}
    assert waiting.waits_for == WORDS[KEYS]
    assert work_on(town.tenant_id, case_id).state == "closed"
    assert receipt_of(town.tenant_id, case_id)["serial"] == 1


def test_without_the_key_nothing_is_refused(town: Town, settings: Settings, tmp_path: Path) -> None:
    case_id = file_pending(town)
    before = _without_the_key(settings, tmp_path)

    with pytest.raises(KeyUnavailable), working(town.tenant_id):
        refuse_erasure(erasure_id=case_id, reason="Not shown to be the person.")

    settings.AMBIT_KEYRING_DIR = before
    with working(town.tenant_id):
        refuse_erasure(erasure_id=case_id, reason="Not shown to be the person.")
    assert receipt_of(town.tenant_id, case_id)["serial"] == 1


def test_a_refusals_receipt_has_the_fields_of_the_others(town: Town) -> None:
    refused, closed = file_pending(town), file(town.tenant_id, documents=[town.about_bob]).id
    assert closed is not None
    with working(town.tenant_id):
        refuse_erasure(erasure_id=refused, reason="Not shown to be the person.")
    work_on(town.tenant_id, closed)

    both = [receipt_of(town.tenant_id, case_id) for case_id in (refused, closed)]

    assert both[0].keys() == both[1].keys()


def pages_of(paper: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(paper)
    try:
        texts = [page.get_textpage().get_text_range() for page in document]
        return [" ".join(text.split()) for text in texts]
    finally:
        document.close()


def test_on_paper_it_says_what_was_signed_and_holds_it(town: Town) -> None:
    with working(town.tenant_id):
        alice = Member.objects.get(pk=town.alice)
    _, first, second = held_and_closed(town)

    for receipt in (first, second):
        paper = print_receipt(receipt["signed"])
        text = " ".join(pages_of(paper))

        assert " ".join(OUTCOMES[receipt["outcome"]].split()) in text
        for words in (
            receipt["erasure"],
            receipt["tenant"],
            receipt["subject"]["hash"],
            fingerprint(receipt["signed"]),
            receipt["log"]["key"],
            receipt["database"]["wal"],
            *receipt["not_yet_gone"],
            *receipt["limits"],
            receipt["backups"]["words"],
            *(h["title"] for h in receipt["holdings"]),
            *(h["destroyed_by"] for h in receipt["holdings"] if h["found"]),
            *(h["basis"] for h in receipt["held"]),
        ):
            assert _close(words) in _close(text), words
        for words in (alice.email, alice.external_id, alice.name, "Quay Lane"):
            assert _close(words) not in _close(text), words
        assert _attached(paper) == receipt
        assert print_receipt(receipt["signed"]) == paper


def test_on_paper_it_tells_of_a_scrub_where_there_was_one(town: Town) -> None:
    case_id = file_for(town)
    work_on(town.tenant_id, case_id)
    said = {n: value for n, value in receipt_of(town.tenant_id, case_id).items() if n != "signed"}
    scrub = {"tables": ["one", "two"], "waited_s": 3.5, "complete": True, "wal": {"from": "0/1"}}

    before, after = (
        " ".join(pages_of(print_receipt(trail_signer().sign_receipt(one))))
        for one in (said | {"scrub": None}, said | {"scrub": scrub})
    )

    assert _close("Waited") not in _close(before)
    for words in ("Scrub", "Tablesone; two", "Waited s3.5", "Completeyes", "Walfrom: 0/1"):
        assert _close(words) in _close(after)


def test_on_paper_an_unsigned_one_says_that_nothing_proves_it(town: Town) -> None:
    case_id = file_for(town)
    work_on(town.tenant_id, case_id)
    new = {"signed", "serial", "previous", "written_at", "log", "database", "backups", "state"}
    said = {n: value for n, value in receipt_of(town.tenant_id, case_id).items() if n not in new}

    text = " ".join(pages_of(print_receipt(f"{FORMAT}\n{json.dumps(said)}\n")))

    assert _close(UNSIGNED) in _close(text)
    assert _close("Signed with the key") not in _close(text)


def _close(text: str) -> str:
    """Return a text without spaces and line ends, which paper puts elsewhere."""
    return "".join(text.split()).replace("\ufffe", "").replace("\u00ad", "")


def _attached(paper: bytes) -> dict[str, Any]:
    document = pypdfium2.PdfDocument(paper)
    try:
        assert document.count_attachments() == 1
        attached = document.get_attachment(0)
        assert attached.get_name() == "receipt.json"
        found: dict[str, Any] = json.loads(bytes(attached.get_data()))
        return found
    finally:
        document.close()


def test_the_font_has_every_letter_that_is_printed(town: Town) -> None:
    """Asked of what is written, since a letter the font lacks is not on the page to be found."""
    _, first, second = held_and_closed(town)
    known = TTFontFile(f"{FONT}.ttf").charToGlyph

    said = (str(said_in(receipt["signed"])) for receipt in (first, second))
    for text in (*said, Path(printed.__file__).read_text()):
        assert {c for c in text if ord(c) not in known and c.isprintable()} == set()
