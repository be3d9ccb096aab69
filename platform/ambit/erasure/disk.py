"""Of a case, what may still be on disk after its rows were destroyed, and what the scrub has shown."""

from __future__ import annotations

from uuid import UUID

from ambit.erasure.cases import lock_case, next_moment, this_system, this_transaction
from ambit.erasure.models import Erasure, ErasureItem
from ambit.erasure.registry import REWRITTEN
from ambit.scrub.blocked import ScrubBlocked
from ambit.scrub.flow import Scrubbed
from ambit.scrub.pages import Mark, mark_pages

# What is left on disk stands beside the holdings in a verdict.
FILES = "database_files"
# What the case of a tenant that is off-boarded is about: it covers everything, and names nothing.
TENANT = "tenant"


def shred(case_id: UUID) -> bool:
    """Note that all a case covers is destroyed, and in which files it was; raise CaseNotFound.

    Called after every transaction that destroyed something. What is noted already stands, so that a
    case that waits for its scrub does not begin again. Returns whether it was news.
    """
    case = lock_case(case_id)
    if case.shredded_xid:
        return False
    mark = mark_pages(REWRITTEN)
    case.state, case.shredded_at = "shredded", next_moment(case)
    case.shredded_xid, case.shredded_files = mark.xid, mark.files
    case.log_position = case.log_segment = ""
    case.save(
        update_fields=[
            "state", "shredded_at", "shredded_xid", "shredded_files", "log_position", "log_segment",
        ]
    )  # fmt: skip
    return True


def mark_anew(case: Erasure) -> None:
    """Forget the numbers of another cluster, where a dump was restored into this one: they lie ahead or behind.

    In scope. The case is settled and marked by numbers of this one; what is lost is the work of a scrub.
    """
    system = this_system()
    if case.database_system == system:
        return
    case.database_system, case.request_xid = system, this_transaction()
    case.shredded_xid, case.shredded_files, case.log_segment = 0, {}, ""
    case.save(
        update_fields=[
            "database_system", "request_xid", "shredded_xid", "shredded_files", "log_segment",
        ]
    )  # fmt: skip


def unmark(case_id: UUID) -> None:
    """Forget the mark of a case, in the transaction that destroys something more of it."""
    Erasure.objects.filter(pk=case_id).exclude(shredded_xid=0).update(shredded_xid=0)


def mark_of(case_id: UUID) -> Mark | None:
    """Return what is to be scrubbed for a case; None where it left nothing on disk.

    A request that waited for an identity check was kept sealed, with its key, in a row that is gone.
    """
    case = Erasure.objects.get(pk=case_id)
    # Also where another case, or a deletion, destroyed all of it first: the mark is younger than that.
    covers = ErasureItem.objects.filter(erasure_id=case_id).exists()
    if not covers and case.identified_at is None and case.subject_type != TENANT:
        return None
    # What must be rewritten now; of what was not noted then, the transaction alone is asked about.
    return Mark(case.shredded_xid, dict.fromkeys(REWRITTEN, 0) | case.shredded_files)


def note_scrubbed(case_id: UUID, done: Scrubbed) -> None:
    """Bring a case into the state scrubbed; raise CaseNotFound."""
    case = lock_case(case_id)
    case.state, case.scrubbed_at = "scrubbed", next_moment(case)
    case.log_position, case.waits_for = done.log_position, ""
    case.save(update_fields=["state", "scrubbed_at", "log_position", "waits_for"])


def note_waiting(case_id: UUID, blocked: ScrubBlocked) -> None:
    """Note why a case's scrub has to wait, and what the try was good for; raise CaseNotFound."""
    case = lock_case(case_id)
    # What is in the way is not hidden behind waiting one's turn to look again.
    if blocked.reason != "soon" or not case.waits_for:
        case.waits_for = blocked.reason
    case.shredded_files |= blocked.files
    case.log_segment = blocked.segment or case.log_segment
    case.save(update_fields=["waits_for", "shredded_files", "log_segment"])


def segment_of(case_id: UUID) -> str:
    """Return the segment of the log that a try before has left behind; empty: there was none."""
    return Erasure.objects.get(pk=case_id).log_segment
