"""What was signed comes to stand on a tenant's own server: the newest, by the hour, where it asked for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from ambit.audit.flow import trail_signer
from ambit.audit.proofs import latest_checkpoint
from ambit.audit.verify import NOTE_END, Key
from ambit.jobs.kinds import CHECKPOINT_NOTICE
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from ambit.notices.checkpoints import EVERY_S
from ambit.notices.models import Notice
from ambit.notices.services import remove_webhook
from tests.audit.trails import add_events, checked, exported, sign_all
from tests.database.erasures import keep_from_workers
from tests.database.receiving import Receiver, receiving
from tests.database.telling import post, subscribe
from tests.database.worlds import make_tenant, working
from workers.notify.flow import tell_checkpoint


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    """Let webhooks lead to this machine."""
    settings.AMBIT_WEBHOOK_PRIVATE = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def subscribed(receiver: Receiver) -> tuple[UUID, UUID]:
    """Return a tenant and its webhook, which no worker of the session sees."""
    tenant_id = make_tenant()
    with working(tenant_id):
        webhook_id, _ = subscribe(tenant_id, receiver, "audit.checkpoint")
        keep_from_workers()
    return tenant_id, webhook_id


def an_hour_later(tenant_id: UUID) -> float | None:
    """Do the job as a worker would; return in how many seconds it is due again."""
    with working(tenant_id):
        jobs = Job.objects.filter(name=CHECKPOINT_NOTICE.name)
        jobs.update(run_after=timezone.now(), lease=None, leased_until=None)
        job = jobs.first()
        held = claim(tenant_id=tenant_id, job_id=job.pk) if job else None
    if held is None:
        return None
    before = timezone.now()
    tell_checkpoint(held)
    with working(tenant_id):
        due = Job.objects.filter(pk=held.job_id).values_list("run_after", flat=True).first()
        keep_from_workers()
    return (due - before).total_seconds() if due else None


def newest(tenant_id: UUID) -> str:
    with working(tenant_id):
        found = latest_checkpoint()
    assert found is not None
    return found.note


def test_the_signed_note_is_told_alone_and_the_verifier_takes_it(
    receiver: Receiver, tmp_path: Path
) -> None:
    tenant_id, _ = subscribed(receiver)
    assert an_hour_later(tenant_id) == pytest.approx(60, abs=5)
    add_events(tenant_id, 3)
    sign_all(tenant_id)
    note = newest(tenant_id)

    assert an_hour_later(tenant_id) == pytest.approx(EVERY_S, abs=5)
    post(tenant_id)

    (said,) = receiver.effective
    assert (said["type"], said["data"]) == ("audit.checkpoint", {"note": note})
    # As deploy/audit.md says: two empty lines after each.
    (tmp_path / "kept.notes").write_text(said["data"]["note"] + "\n\n")
    assert (tmp_path / "kept.notes").read_text().endswith(NOTE_END)
    key = Key.read(trail_signer().key)
    sign_all(tenant_id)
    export = exported(tenant_id, tmp_path / "export")
    assert checked(export, key, tmp_path / "kept.notes").faults == []
    lines = (export / "events.jsonl").read_text().splitlines()
    (export / "events.jsonl").write_text("\n".join(lines[1:]))
    assert checked(export, key, tmp_path / "kept.notes").faults


def test_a_server_that_is_down_is_told_the_newest_when_it_is_back(receiver: Receiver) -> None:
    tenant_id, webhook_id = subscribed(receiver)
    sign_all(tenant_id)
    first = newest(tenant_id)
    for _ in range(3):
        assert an_hour_later(tenant_id) == pytest.approx(EVERY_S, abs=5)
        add_events(tenant_id, 1)
        sign_all(tenant_id)
    with working(tenant_id):
        assert Notice.objects.filter(webhook_id=webhook_id).count() == 1
    post(tenant_id)
    sign_all(tenant_id)
    an_hour_later(tenant_id)
    last = newest(tenant_id)
    post(tenant_id)

    assert [one["data"]["note"] for one in receiver.effective] == [first, last]
    # Nothing was signed since: nothing is told.
    an_hour_later(tenant_id)
    post(tenant_id)
    assert len(receiver.received) == 2


def test_who_did_not_ask_for_it_is_not_told(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    subscribe(tenant_id, receiver)
    sign_all(tenant_id)

    assert an_hour_later(tenant_id) is None
    post(tenant_id)

    assert receiver.received == []


def test_it_ends_with_the_webhook(receiver: Receiver) -> None:
    tenant_id, webhook_id = subscribed(receiver)
    sign_all(tenant_id)
    with working(tenant_id):
        remove_webhook(webhook_id=webhook_id)
        assert not Job.objects.filter(name=CHECKPOINT_NOTICE.name).exists()

    assert an_hour_later(tenant_id) is None
    assert json.dumps(receiver.received) == "[]"
