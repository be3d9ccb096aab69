"""The clock of a case: until when it must be answered, one extension, and alarms on the way."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.utils import timezone

from ambit.erasure.calendar import ALARMS, alarm_at, due_at
from ambit.erasure.cases import is_over, lock_case, next_moment
from ambit.erasure.identity import identifiers_of
from ambit.erasure.models import Erasure, ErasureState
from ambit.erasure.queries import get_erasure
from ambit.erasure.reasons import required, seal_reason
from ambit.erasure.types import RETENTION, ErasureView
from ambit.jobs.kinds import ERASURE_ALARM
from ambit.jobs.services import cancel, enqueue
from tenants.audit import record


class ErasureOver(RuntimeError):
    """The case is closed, refused or answered but for what is held: there is no time left to take."""


class NoClock(RuntimeError):
    """The case was made by age: nobody asked, so there is no time to extend."""


class AlreadyExtended(RuntimeError):
    """The case has its two further months already; the law gives no third period."""


class ExtensionTooLate(RuntimeError):
    """The first month is over: only inside it may the time be extended."""


def starts_at(case: Erasure) -> datetime:
    """Return when the clock began to run: at receipt, or after an identity check."""
    return case.identified_at or case.received_at


def set_due(case: Erasure) -> None:
    """Set until when a case must be answered, from its own times; the caller saves it.

    A case that went by age has no such time: nobody asked who could wait for an answer.
    """
    if case.subject_type != RETENTION:
        case.due_at = _due(case, extended=case.extended_at is not None)


def is_held(case: Erasure) -> bool:
    """Say whether all that is left of a case is held now; that it once was stays noted."""
    return case.state == ErasureState.HELD


def _due(case: Erasure, *, extended: bool) -> datetime:
    stopped = starts_at(case) - case.received_at
    return due_at(case.received_at, stopped=stopped, extended=extended)


def extend_erasure(*, erasure_id: UUID, reason: str) -> ErasureView:
    """Take two further months for a case, once and inside its first month (Art. 12(3) GDPR).

    Raises ErasureNotFound, ReasonMissing, NoClock, ErasureOver, AlreadyExtended, ExtensionTooLate.
    """
    words = required(reason)
    case = lock_case(erasure_id)
    if case.subject_type == RETENTION:
        raise NoClock(erasure_id)
    now = next_moment(case)
    if is_over(case) or is_held(case):
        raise ErasureOver(erasure_id)
    if case.extended_at is not None:
        raise AlreadyExtended(erasure_id)
    # While the identity check runs the clock stands inside the first month.
    if case.due_at is not None and now >= _due(case, extended=False):
        raise ExtensionTooLate(erasure_id)
    case.extended_at = now
    case.extension_sealed = seal_reason(
        words, identifiers_of(case), object_id=erasure_id, field="extension"
    )
    if case.due_at is not None:
        set_due(case)
    case.save(update_fields=["extended_at", "extension_sealed", "due_at"])
    record("erasure.extended", object_id=erasure_id)
    return get_erasure(erasure_id=erasure_id)


def may_extend(case: ErasureView) -> bool:
    """Say whether a case could be extended now."""
    if case.by_age or case.clock == "ended" or case.extended_at is not None:
        return False
    return case.due_at is None or timezone.now() < case.due_at


def watch(case: Erasure) -> None:
    """Have a case brought to mind when half of its time has passed."""
    if is_held(case):
        return
    if case.due_at is not None and case.alarmed_percent < ALARMS[-1]:
        first = alarm_at(ALARMS[0], starts_at=starts_at(case), due=case.due_at)
        enqueue(ERASURE_ALARM, object_id=case.pk, run_after=first)


def stop_watching(case_id: UUID) -> None:
    """Bring a case to mind no more."""
    cancel(ERASURE_ALARM, object_id=case_id)


def sound_alarms(case_id: UUID) -> datetime | None:
    """Write an audit event for each share of a case's time that has passed, once each.

    Returns when to look again; None where nothing is left to be said. Raises CaseNotFound.
    """
    case = lock_case(case_id)
    if is_over(case) or case.due_at is None or is_held(case):
        return None
    for percent in ALARMS:
        if percent <= case.alarmed_percent:
            continue
        at = alarm_at(percent, starts_at=starts_at(case), due=case.due_at)
        if at > timezone.now():
            return at
        record("erasure.due_alarm", object_id=case_id, counts={"percent": percent})
        case.alarmed_percent = percent
        case.save(update_fields=["alarmed_percent"])
    return None
