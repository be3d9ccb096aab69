"""Whatever a server, our workers or the network do, each notice arrives, and is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from ambit.config.runtime.processes import ROOT
from ambit.jobs.kinds import KINDS, NOTICE, QUEUES
from ambit.jobs.models import Job
from ambit.notices import sending
from ambit.notices.addresses import find_address
from ambit.notices.models import Notice
from ambit.notices.services import DELAYS_S, create_webhook, remove_webhook
from tenants.ids import public_id
from tenants.models import AuditEvent
from tests.database.erasures import (
    keep_from_workers,
)
from tests.database.receiving import Receiver, receiving
from tests.database.telling import claims, happen, post, subscribe, told
from tests.database.worlds import make_tenant, working
from workers.notify.flow import notify


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


@pytest.mark.parametrize(
    ("answer", "status", "fault"),
    [
        (500, 500, ""),
        (429, 429, ""),
        (404, 404, ""),
        ("redirect", 302, ""),
        ("hang", None, "timeout"),
        ("drip", None, "timeout"),
        ("cut", None, "connection"),
    ],
)
def test_a_failed_attempt_is_noted_and_repeated_under_the_same_id(
    answer: int | str, status: int | None, fault: str
) -> None:
    tenant_id = make_tenant()
    with receiving(answer, answer) as receiver:
        subscribe(tenant_id, receiver)
        case_id = happen(tenant_id)

        post(tenant_id, tries=2)
        waiting = told(tenant_id, case_id)
        post(tenant_id)

    ended = told(tenant_id, case_id)
    assert (waiting.state, waiting.attempts) == ("waiting", 2)
    assert (waiting.last_status, waiting.last_fault) == (status, fault)
    assert (ended.state, ended.attempts, ended.last_status) == ("told", 3, 200)
    assert receiver.ids == [public_id("notice", ended.id)] * 3
    assert len({body for _, body in receiver.received}) == 1
    assert len(receiver.effective) == 1
    assert set(receiver.paths) == {"/told?by=ambit"}


def test_a_server_that_is_down_is_told_when_it_is_back() -> None:
    tenant_id = make_tenant()
    with receiving() as receiver:
        webhook_id, _ = subscribe(tenant_id, receiver)
    case_id = happen(tenant_id)

    post(tenant_id)

    assert told(tenant_id, case_id).last_fault == "connection"
    assert receiver.received == []
    assert webhook_id


def test_attempts_go_on_for_days_and_then_a_person_must_look() -> None:
    tenant_id = make_tenant()
    with receiving(*[500] * 30) as receiver:
        subscribe(tenant_id, receiver)
        case_id = happen(tenant_id)
        delays = []
        while told(tenant_id, case_id).state == "waiting":
            before = timezone.now()
            for held in claims(tenant_id):
                notify(held)
            with working(tenant_id):
                jobs = Job.objects.filter(name=NOTICE.name).values_list("run_after", flat=True)
                delays += [round((at - before).total_seconds()) for at in jobs]
                keep_from_workers()

    ended = told(tenant_id, case_id)
    assert delays == list(DELAYS_S)
    assert sum(DELAYS_S) > timedelta(days=3).total_seconds()
    assert (ended.state, ended.attempts, ended.last_status) == ("given_up", 11, 500)
    assert claims(tenant_id) == []
    with working(tenant_id):
        found = AuditEvent.objects.filter(action="notice.given_up", object_id=ended.id)
        assert found.count() == 1


def test_a_receiver_that_is_gone_is_not_tried_again() -> None:
    tenant_id = make_tenant()
    with receiving(410) as receiver:
        subscribe(tenant_id, receiver)
        case_id = happen(tenant_id)
        post(tenant_id, tries=3)

    assert told(tenant_id, case_id).state == "given_up"
    assert len(receiver.received) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["take_up", "send", "note_outcome"])
def test_a_worker_killed_anywhere_makes_one_effective_notice(step: str, when: str) -> None:
    tenant_id = make_tenant()
    with receiving() as receiver:
        subscribe(tenant_id, receiver)
        case_id = happen(tenant_id)
        notice = told(tenant_id, case_id)

        assert _killed(tenant_id, notice.id, f"{when} {step}") == signal.SIGKILL
        sent = len(receiver.received)
        assert told(tenant_id, case_id).state == "waiting"
        post(tenant_id, tries=2)

    assert sent == (step == "note_outcome" or (when, step) == ("after", "send"))
    assert told(tenant_id, case_id).state == "told"
    assert set(receiver.ids) == {public_id("notice", notice.id)}
    assert len(receiver.received) == sent + 1
    assert len(receiver.effective) == 1


def _killed(tenant_id: UUID, notice_id: UUID, point: str) -> int:
    with working(tenant_id):
        Job.objects.filter(name=NOTICE.name, object_id=notice_id).update(run_after=timezone.now())
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        "AMBIT_WEBHOOK_PRIVATE": "yes",
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.database.dying", "notice"]
    done = subprocess.run(
        [*command, str(tenant_id), str(notice_id), point],
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )
    return -done.returncode


def test_private_addresses_are_refused_by_default(receiver: Receiver, settings: Settings) -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        create_webhook(
            name="x", url=f"https://localhost:{receiver.port}/", events=["document.erased"]
        )
    settings.AMBIT_WEBHOOK_PRIVATE = False
    case_id = happen(tenant_id)

    post(tenant_id)

    assert told(tenant_id, case_id).last_fault == "address_refused"
    assert receiver.received == []


def test_a_name_is_looked_up_once_and_that_address_is_taken(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def first_then_another(host: str, port: int, *, within_s: float) -> str:
        asked.append(host)
        # As the name's owner would change it once it was checked.
        return find_address("127.0.0.1", port, within_s=within_s)

    monkeypatch.setattr(sending, "find_address", first_then_another)
    tenant_id = make_tenant()
    with working(tenant_id):
        create_webhook(
            name="x",
            url=f"http://rebound.invalid:{receiver.port}/",
            events=["document.erased"],
        )
    happen(tenant_id)

    post(tenant_id)

    ((headers, _),) = receiver.received
    assert asked == ["rebound.invalid"]
    assert headers["host"] == f"rebound.invalid:{receiver.port}"


def test_a_certificate_of_nobody_is_refused(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        create_webhook(
            name="x", url=f"https://127.0.0.1:{receiver.port}/", events=["document.erased"]
        )
    case_id = happen(tenant_id)

    post(tenant_id)

    assert told(tenant_id, case_id).last_fault in {"tls", "connection"}
    assert receiver.received == []


def test_a_name_that_is_never_answered_costs_no_longer_than_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def ask(*_: object, **__: object) -> list[object]:
        answered.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    tenant_id = make_tenant()
    with working(tenant_id):
        create_webhook(name="x", url="https://slow.invalid/", events=["document.erased"])
    case_id = happen(tenant_id)
    began = time.monotonic()

    try:
        post(tenant_id)
    finally:
        answered.set()

    assert told(tenant_id, case_id).last_fault == "timeout"
    assert time.monotonic() - began < 5


def test_what_is_noted_while_its_webhook_is_removed_says_so(receiver: Receiver) -> None:
    tenant_id = make_tenant()
    webhook_id, _ = subscribe(tenant_id, receiver)
    case_id = happen(tenant_id)
    with working(tenant_id):
        remove_webhook(webhook_id=webhook_id)
        # As where whoever noted it did not see the removal yet.
        Notice.objects.filter(object_id=case_id).update(state="waiting", last_fault="")

    post(tenant_id)

    ended = told(tenant_id, case_id)
    assert (ended.state, ended.last_fault) == ("given_up", "removed")
    assert ended.ended_at is not None
    assert claims(tenant_id) == []
    assert receiver.received == []


def test_notices_wait_in_a_queue_of_their_own_which_comes_last() -> None:
    assert [kind for kind in KINDS.values() if kind.queue == NOTICE.queue] == [NOTICE]
    assert QUEUES[-1] == NOTICE.queue
