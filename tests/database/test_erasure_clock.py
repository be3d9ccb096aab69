"""The clock of a case: its end, its extension, its alarms, and a machine's clock that is put back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from ambit.erasure.calendar import due_at
from ambit.erasure.cases import next_moment
from ambit.erasure.clock import (
    AlreadyExtended,
    ErasureOver,
    ExtensionTooLate,
    extend_erasure,
    sound_alarms,
)
from ambit.erasure.models import Erasure
from ambit.erasure.queries import ErasureNotFound
from ambit.erasure.reasons import ReasonMissing
from ambit.erasure.services import refuse_erasure, verify_identity
from ambit.erasure.types import ErasureView
from ambit.jobs.kinds import ERASURE_ALARM
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim
from tenants.models import AuditEvent
from tests.database.erasures import (
    Town,
    file_for,
    file_pending,
    inhabit,
    keep_from_workers,
    receipt_of,
    view_of,
    work_on,
)
from tests.database.worlds import working
from workers.erase.remind import remind


@pytest.fixture(scope="module")
def town(_database: None) -> Town:
    """Return a town whose cases are about Alice; each test has a case of its own."""
    return inhabit()


def put_back_in_time(town: Town, case_id: UUID, *, by: timedelta) -> None:
    """Let a case have been received so much earlier."""
    with working(town.tenant_id):
        case = Erasure.objects.get(pk=case_id)
        case.received_at -= by
        case.due_at = due_at(case.received_at) if case.due_at else None
        case.save()


def extend(town: Town, case_id: UUID, reason: str = "three archives") -> ErasureView:
    with working(town.tenant_id):
        return extend_erasure(erasure_id=case_id, reason=reason)


def alarms_of(town: Town, case_id: UUID) -> list[int]:
    """Return the percentages of which there is an event, in their order."""
    with working(town.tenant_id):
        events = AuditEvent.objects.filter(action="erasure.due_alarm", object_id=case_id)
        return [event.counts["percent"] for event in events.order_by("at")]


def alarm_job(town: Town, case_id: UUID) -> Job | None:
    with working(town.tenant_id):
        return Job.objects.filter(name=ERASURE_ALARM.name, object_id=case_id).first()


def wake(town: Town, case_id: UUID) -> None:
    """Do the case's alarm job as a worker does when it is due."""
    held = _claimed(town, case_id)
    remind(held)


def _claimed(town: Town, case_id: UUID) -> Claim:
    with working(town.tenant_id):
        job = Job.objects.get(name=ERASURE_ALARM.name, object_id=case_id)
        Job.objects.filter(pk=job.pk).update(
            run_after=timezone.now(), lease=None, leased_until=None
        )
        held = claim(tenant_id=town.tenant_id, job_id=job.pk)
    assert held is not None
    return held


def test_a_case_is_due_one_calendar_month_after_receipt(town: Town) -> None:
    view = view_of(town.tenant_id, file_for(town))

    assert view.due_at == due_at(view.received_at)
    assert view.clock == "running"


def test_an_extension_gives_two_further_months_with_its_reason(town: Town) -> None:
    case_id = file_for(town)

    view = extend(town, case_id)

    assert view.due_at == due_at(view.received_at, extended=True)
    assert (view.extension_reason, view.extended_at is not None) == ("three archives", True)
    with working(town.tenant_id):
        event = AuditEvent.objects.get(action="erasure.extended", object_id=case_id)
        row = Erasure.objects.get(pk=case_id)
    assert event.actor_kind == "service"
    assert b"archives" not in bytes(row.extension_sealed or b"")


def test_an_extension_is_given_once(town: Town) -> None:
    case_id = file_for(town)
    first = extend(town, case_id)

    with pytest.raises(AlreadyExtended):
        extend(town, case_id)

    assert view_of(town.tenant_id, case_id).due_at == first.due_at


def test_an_extension_comes_inside_the_first_month_or_not_at_all(town: Town) -> None:
    late, in_time = file_for(town), file_for(town)
    put_back_in_time(town, late, by=timedelta(days=32))
    put_back_in_time(town, in_time, by=timedelta(days=27))

    with pytest.raises(ExtensionTooLate):
        extend(town, late)

    assert view_of(town.tenant_id, late).extended_at is None
    assert extend(town, in_time).extended_at is not None


def test_an_extension_needs_a_reason_and_an_open_case(town: Town) -> None:
    case_id = file_pending(town)
    with pytest.raises(ReasonMissing):
        extend(town, case_id, " ")
    with pytest.raises(ErasureNotFound):
        extend(town, uuid4())
    with working(town.tenant_id):
        refuse_erasure(erasure_id=case_id, reason="not the person")

    with pytest.raises(ErasureOver):
        extend(town, case_id)


def test_the_clock_stands_while_the_identity_check_runs(town: Town) -> None:
    case_id = file_pending(town)
    pending = view_of(town.tenant_id, case_id)
    put_back_in_time(town, case_id, by=timedelta(days=40))

    with working(town.tenant_id):
        view = verify_identity(erasure_id=case_id)
        keep_from_workers()

    assert (pending.clock, pending.due_at) == ("stopped", None)
    took = view.at("identified") - view.received_at  # type: ignore[operator]  # it is there
    assert took >= timedelta(days=40)
    assert view.due_at == due_at(view.received_at, stopped=took)
    # The month as such begins with the check's end.
    assert extend(town, case_id).due_at == due_at(view.received_at, stopped=took, extended=True)


def test_an_extension_taken_while_the_clock_stands_counts_when_it_runs(town: Town) -> None:
    case_id = file_pending(town)
    assert extend(town, case_id).due_at is None

    with working(town.tenant_id):
        view = verify_identity(erasure_id=case_id)
        keep_from_workers()

    took = view.at("identified") - view.received_at  # type: ignore[operator]  # it is there
    assert view.due_at == due_at(view.received_at, stopped=took, extended=True)


@pytest.mark.parametrize(
    ("days", "alarms"), [(0, []), (13, []), (17, [50]), (25, [50, 80]), (400, [50, 80, 100])]
)
def test_alarms_sound_at_half_four_fifths_and_all_of_the_time_once_each(
    town: Town, days: int, alarms: list[int]
) -> None:
    case_id = file_for(town)
    put_back_in_time(town, case_id, by=timedelta(days=days))

    for _ in range(2):
        if alarm_job(town, case_id) is not None:
            wake(town, case_id)

    assert alarms_of(town, case_id) == alarms
    assert (alarm_job(town, case_id) is None) is (alarms == [50, 80, 100])


def test_between_alarms_the_job_sleeps_until_the_next(town: Town) -> None:
    case_id = file_for(town)
    put_back_in_time(town, case_id, by=timedelta(days=17))
    wake(town, case_id)

    job, view = alarm_job(town, case_id), view_of(town.tenant_id, case_id)

    assert job is not None
    assert view.due_at is not None
    at = view.received_at + (view.due_at - view.received_at) * 0.8
    assert abs(job.run_after - at) < timedelta(minutes=1)
    assert (job.lease, job.attempts) == (None, 0)


def test_an_alarm_that_is_not_committed_sounds_again(town: Town) -> None:
    class Killed(Exception):
        pass

    case_id = file_for(town)
    put_back_in_time(town, case_id, by=timedelta(days=17))
    with pytest.raises(Killed), working(town.tenant_id):
        sound_alarms(case_id)
        raise Killed

    assert alarms_of(town, case_id) == []
    wake(town, case_id)
    assert alarms_of(town, case_id) == [50]


def test_an_extended_case_sounds_no_alarm_twice(town: Town) -> None:
    case_id = file_for(town)
    put_back_in_time(town, case_id, by=timedelta(days=27))
    wake(town, case_id)
    assert alarms_of(town, case_id) == [50, 80]

    extended = extend(town, case_id)
    wake(town, case_id)

    job = alarm_job(town, case_id)
    assert alarms_of(town, case_id) == [50, 80]
    assert job is not None
    assert abs(job.run_after - extended.due_at) < timedelta(minutes=1)  # type: ignore[operator]  # it has one


def test_the_clock_of_a_pending_or_closed_case_sounds_nothing() -> None:
    town = inhabit()
    pending, closed = file_pending(town), file_for(town)
    assert alarm_job(town, pending) is None
    work_on(town.tenant_id, closed)
    for case_id in (pending, closed):
        put_back_in_time(town, case_id, by=timedelta(days=400))

    with working(town.tenant_id):
        assert [sound_alarms(pending), sound_alarms(closed)] == [None, None]

    assert alarm_job(town, closed) is None
    assert alarms_of(town, pending) == alarms_of(town, closed) == []


def test_times_of_a_case_never_decrease_when_the_machines_clock_is_put_back() -> None:
    town = inhabit()
    case_id = file_for(town)
    ahead = timezone.now() + timedelta(hours=3)
    with working(town.tenant_id):
        Erasure.objects.filter(pk=case_id).update(hidden_at=ahead)

    view = work_on(town.tenant_id, case_id)

    assert [s.state for s in view.states] == [
        "received",
        "hidden",
        "scoped",
        "shredded",
        "scrubbed",
        "verified",
        "closed",
    ]
    times = [s.at for s in view.states]
    assert times == sorted(times)
    assert min(times[1:]) >= ahead
    stated = [
        datetime.fromisoformat(s["at"]) for s in receipt_of(town.tenant_id, case_id)["states"]
    ]
    assert stated == times


def test_the_next_moment_of_a_case_is_now_where_the_clock_runs_on() -> None:
    received = datetime(2026, 1, 1, tzinfo=UTC)

    assert next_moment(Erasure(tenant_id=uuid4(), received_at=received)) > received
