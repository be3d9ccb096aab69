"""What recipients are told: ids and hashes, once, of what really happened."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from ambit.corpus.services import delete_document
from ambit.corpus.types import SubjectRef
from ambit.erasure.restrictions import lift, place_hold, place_restriction
from ambit.jobs.kinds import NOTICE, REMOVE_DOCUMENT
from ambit.jobs.models import Job
from ambit.keys.sealing import keyed_hash
from ambit.notices import sending
from ambit.notices.models import Webhook
from ambit.notices.queries import WebhookNotFound, list_webhooks, notices_of
from ambit.notices.services import announce, remove_webhook
from tenants.ids import public_id
from tests.database.erasures import (
    Town,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    work_on,
)
from tests.database.exporting import take
from tests.database.holding import work_on_until
from tests.database.receiving import Receiver, receiving
from tests.database.telling import happen, post, subscribe, told
from tests.database.worlds import make_tenant, working
from workers.erase.flow import remove


@pytest.fixture(autouse=True)
def _loopback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let webhooks lead to this machine, and wait less."""
    settings.AMBIT_WEBHOOK_PRIVATE = True
    monkeypatch.setattr(sending, "STEP_S", 0.5)
    monkeypatch.setattr(sending, "WHOLE_S", 1.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_an_erasure_is_told_with_ids_and_nothing_else(receiver: Receiver) -> None:
    town = inhabit()
    _, secret = subscribe(town.tenant_id, receiver)
    case_id = file_for(town)
    assert work_on(town.tenant_id, case_id).state == "closed"

    post(town.tenant_id)

    erased, closed = receiver.effective
    with working(town.tenant_id):
        views = notices_of(case_id)
    assert [(v.event, v.state, v.recipient) for v in views] == [
        ("document.erased", "told", "Archive Ltd"),
        ("erasure.closed", "told", "Archive Ltd"),
    ]
    assert [public_id("notice", v.id) for v in views] == receiver.ids
    assert set(erased["data"]["documents"]) == {public_id("document", d) for d in town.about_alice}
    assert erased["data"]["erasure"] == closed["data"]["erasure"] == public_id("erasure", case_id)
    assert closed["data"]["documents"] == []
    assert closed["data"]["subject_hash"] == _hash_of_alice(town, case_id)
    for headers, body in receiver.received:
        assert b"Alice" not in body
        assert b"@" not in body
        assert headers["content-type"] == "application/json"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


def _hash_of_alice(town: Town, case_id: UUID) -> str:
    found = receipt_of(town.tenant_id, case_id)["subject"]["hash"]
    assert isinstance(found, str)
    return found


def test_a_restriction_is_told_when_it_is_placed_and_lifted_and_a_hold_is_not(
    receiver: Receiver,
) -> None:
    town = inhabit()
    subscribe(town.tenant_id, receiver)
    with working(town.tenant_id):
        placed = place_restriction(subject=None, document_ids=[town.about_bob], reason="Disputed")
        lift(kind="restriction", restriction_id=placed.id)
        place_hold(
            subject=None,
            document_ids=[town.about_bob],
            basis="e",
            review_at=timezone.now() + timedelta(days=9),
            reason="A claim",
        )
        keep_from_workers()

    post(town.tenant_id)

    said = [(one["type"], one["data"]["restriction"]) for one in receiver.effective]
    assert said == [
        ("restriction.placed", public_id("restriction", placed.id)),
        ("restriction.lifted", public_id("restriction", placed.id)),
    ]


def test_a_deleted_document_is_told(receiver: Receiver) -> None:
    town = inhabit()
    subscribe(town.tenant_id, receiver)
    with working(town.tenant_id):
        delete_document(document_id=town.about_bob)
        keep_from_workers()
    held = take(town.tenant_id, town.about_bob, kind=REMOVE_DOCUMENT)
    assert held is not None
    remove(held)

    post(town.tenant_id)

    (said,) = receiver.effective
    assert (said["type"], said["data"]["erasure"]) == ("document.erased", None)
    assert said["data"]["documents"] == [public_id("document", town.about_bob)]


def test_what_is_held_is_told_when_it_is_destroyed_and_no_document_twice(
    receiver: Receiver,
) -> None:
    town = inhabit()
    subscribe(town.tenant_id, receiver, "document.erased")
    held = town.about_alice[0]
    with working(town.tenant_id):
        hold = place_hold(
            subject=None,
            document_ids=[held],
            basis="e",
            review_at=timezone.now() + timedelta(days=9),
            reason="A claim",
        )
    case_id = file(town.tenant_id, documents=list(town.about_alice)).id
    assert case_id is not None
    work_on_until(town, case_id, "held")
    with working(town.tenant_id):
        lift(kind="hold", restriction_id=hold.id)
        keep_from_workers()
    assert work_on(town.tenant_id, case_id).state == "closed"

    post(town.tenant_id)

    first, second = (one["data"]["documents"] for one in receiver.effective)
    assert set(first) == {public_id("document", d) for d in town.about_alice[1:]}
    assert second == [public_id("document", held)]


def test_nobody_is_told_of_what_was_rolled_back(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    subscribe(tenant_id, receiver)
    with pytest.raises(ZeroDivisionError), working(tenant_id):
        announce("document.erased", object_id=tenant_id, document_ids=[tenant_id])
        raise ZeroDivisionError

    post(tenant_id)

    assert receiver.received == []


def test_a_recipient_is_told_only_what_it_asked_for_and_other_tenants_nothing(
    receiver: Receiver,
) -> None:
    tenant_id, other = make_tenant(), make_tenant()
    subscribe(tenant_id, receiver, "erasure.closed")
    subscribe(other, receiver)

    happen(tenant_id)
    post(tenant_id)
    post(other)

    assert receiver.received == []


def test_address_and_secret_are_sealed_and_go_with_the_webhook(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    webhook_id, secret = subscribe(tenant_id, receiver)
    with working(tenant_id):
        row = Webhook.objects.get(pk=webhook_id)
        kept = bytes(row.sealed or b"") + bytes(row.wrapped_key or b"")
        assert secret.encode() not in kept
        assert receiver.url.encode() not in kept
    case_id = happen(tenant_id)

    with working(tenant_id):
        remove_webhook(webhook_id=webhook_id)
        assert list_webhooks(after=None, limit=10) == []
        with pytest.raises(WebhookNotFound):
            remove_webhook(webhook_id=webhook_id)
    post(tenant_id)

    ended = told(tenant_id, case_id)
    assert (ended.state, ended.last_fault, ended.recipient) == (
        "given_up",
        "removed",
        "Archive Ltd",
    )
    assert receiver.received == []
    with working(tenant_id):
        row = Webhook.objects.get(pk=webhook_id)
        assert (row.sealed, row.wrapped_key) == (None, None)
        assert not Job.objects.filter(name=NOTICE.name).exists()


def test_many_documents_are_told_in_notices_that_receivers_take(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    subscribe(tenant_id, receiver)
    documents = tuple(UUID(int=n) for n in range(1, 902))
    case_id = happen(tenant_id, documents=documents)
    with working(tenant_id):
        # A worker that comes by again.
        announce("document.erased", object_id=case_id, document_ids=documents)
        keep_from_workers()

    post(tenant_id)

    said = [one["data"]["documents"] for one in receiver.effective]
    assert [len(one) for one in said] == [400, 400, 101]
    assert {d for one in said for d in one} == {public_id("document", d) for d in documents}
    assert max(len(body) for _, body in receiver.received) < 20_000


def test_the_same_hash_is_told_as_receipts_have(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    subscribe(tenant_id, receiver)
    case_id = file(tenant_id, subject=SubjectRef("email", "jo@example.org")).id
    assert case_id is not None
    work_on(tenant_id, case_id)

    post(tenant_id)

    (said,) = receiver.effective
    with working(tenant_id):
        wanted = keyed_hash(b"email|jo@example.org", tenant_id=tenant_id, purpose="subject").hex()
    assert (said["type"], said["data"]["subject_hash"]) == ("erasure.closed", wanted)
