"""Receive requests to forget. From the commit of a request on, nothing retrieves what it covers.

Hiding happens in the request's own transaction: documents leave every reader's sight, their keys
are disabled, the member is shut out. Destroying is the workers' (workers/erase). A request without
a subject and without documents, with a blank value or an unknown id, changes nothing; one whose
identity check still runs hides nothing before it ended well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.utils import timezone

from ambit.answers.holdings import answers_about
from ambit.answers.services import hide_answers
from ambit.audit.receipts import COUNT
from ambit.corpus.holdings import documents_declaring, lock_documents, versions_of
from ambit.corpus.services import hide_documents
from ambit.corpus.types import SubjectRef
from ambit.erasure.calendar import due_at
from ambit.erasure.cases import (
    CaseNotFound,
    add_items,
    count_found,
    is_over,
    is_settled,
    lock_case,
    next_moment,
    note_found,
    note_generation,
    note_scoped,
    requester,
    scope_of,
    this_system,
    this_transaction,
    with_epoch,
)
from ambit.erasure.clock import set_due, watch
from ambit.erasure.disk import mark_anew, unmark
from ambit.erasure.holds import held_among, held_back, without_held
from ambit.erasure.identity import find_kept, forget_named, identifiers_of, keep_named
from ambit.erasure.members import lock_members
from ambit.erasure.models import Erasure, ErasureState
from ambit.erasure.outlook import open_cases_about, what_stays
from ambit.erasure.queries import get_erasure, holding_counts, refusal_receipt
from ambit.erasure.reasons import open_reason, required, seal_reason, without
from ambit.erasure.receipts import sign_receipt
from ambit.erasure.subjects import Found, declared_by, find_named
from ambit.erasure.types import Case, ErasureView, StateTime
from ambit.export.holdings import exports_about, stop_handing_out
from ambit.jobs.kinds import ERASE
from ambit.jobs.services import enqueue
from ambit.keys.keyring import KeyUnavailable
from tenants.audit import record
from tenants.holding import Scope
from tenants.holdings import hide_member, trace_member
from tenants.ids import uuid7
from tenants.queries import get_tenant
from tenants.scope import current_tenant_id, custody_scope

Identity = Literal["verified", "pending"]


def request_erasure(
    *,
    subject: SubjectRef | None,
    document_ids: Sequence[UUID] | None,
    also_document_ids: Sequence[UUID] | None = None,
    reason: str,
    dry_run: bool,
    identity: Identity = "verified",
) -> ErasureView:
    """Open a case for a person or for documents, hide what it covers and hand it to the workers.

    also_document_ids: beside a person, documents that somebody confirmed to be about this person too.
    identity: whether the tenant knows who asked; with "pending" the case is received and nothing is
    hidden. A dry run finds the same, hides nothing and keeps nothing but an audit event. A person
    who is not known here gets a case too, and a receipt that says that nothing was held. Raises
    NothingNamed, TooMuchNamed, ReasonMissing, SubjectAmbiguous, DocumentsUnknown.
    """
    words = required(reason)
    received_at = timezone.now()
    with custody_scope():
        found = find_named(
            subject=subject, document_ids=document_ids, also_document_ids=also_document_ids
        )
        if dry_run:
            return _preview(found, words, received_at)
        case = _receive(found, words, received_at)
        if identity == "pending":
            keep_named(
                case,
                subject=subject,
                document_ids=document_ids,
                also_document_ids=also_document_ids,
            )
            record("erasure.received", object_id=case.pk)
        else:
            cover(case, found, action="erasure.requested")
        return get_erasure(erasure_id=case.pk)


def verify_identity(*, erasure_id: UUID) -> ErasureView:
    """End a case's identity check well: find what it names as it is now, hide it, go on.

    Raises ErasureNotFound, NotPending, and SubjectAmbiguous where the name means several by now.
    """
    with custody_scope():
        case = lock_case(erasure_id)
        found = find_kept(case)
        case.identified_at = next_moment(case)
        reason = open_reason(case.reason_sealed, object_id=case.pk, field="reason")
        # The person may have become known here only meanwhile.
        case.reason_sealed = seal_reason(
            reason, found.identifiers, object_id=case.pk, field="reason"
        )
        forget_named(case)
        cover(case, found, action="erasure.identified")
        return get_erasure(erasure_id=erasure_id)


def refuse_erasure(*, erasure_id: UUID, reason: str) -> ErasureView:
    """Refuse a case of which nothing has been hidden, for a written reason (Art. 12(4), (6) GDPR).

    Raises ErasureNotFound, ReasonMissing, NotPending, KeyUnavailable.
    """
    words = required(reason)
    with custody_scope():
        case = lock_case(erasure_id)
        identifiers = identifiers_of(case)
        forget_named(case)
        case.refusal_sealed = seal_reason(words, identifiers, object_id=case.pk, field="refusal")
        case.state, case.refused_at = ErasureState.REFUSED, next_moment(case)
        case.save(update_fields=["refusal_sealed", "state", "refused_at"])
        serial = sign_receipt(case.pk, refusal_receipt(get_erasure(erasure_id=erasure_id)))
        record("erasure.refused", object_id=erasure_id, counts={COUNT: serial})
        return get_erasure(erasure_id=erasure_id)


def take_up(case_id: UUID) -> Case:
    """Return an open case with all it covers by now, in the tenant's scope; raise CaseNotFound.

    An upload or an answer that was under way when the request came may have been stored after it:
    what was received before the request is added, and hidden too. What is under a hold is covered
    and not to be destroyed.
    """
    with custody_scope():
        case = _open_case(case_id)
        mark_anew(case)
        # Asked before looking: whatever is committed by then is seen below.
        settled = is_settled(case)
        noted = scope_of(case)
        late, has_keys = _late(case, noted)
        _hide(late.document_ids, noted.member_ids)
        # Documents are locked before cases, as by who lifts a hold.
        case = lock_case(case_id)
        note_generation(case)
        stop_handing_out(late.export_ids)
        if add_items(case_id, late):
            unmark(case_id)
        watch(case)
        covered = scope_of(case)
        scope = without_held(covered)
        found = count_found(scope)
        note_found(case_id, found)
        note_scoped(case_id, found)
        held = held_among((*covered.document_ids, *covered.member_ids))
        return Case(
            case_id, scope, covered, held, settled, has_keys=has_keys, waits_for=case.waits_for
        )


def _open_case(case_id: UUID) -> Erasure:
    case = Erasure.objects.filter(pk=case_id).first()
    if case is None or is_over(case) or case.hidden_at is None:
        raise CaseNotFound(case_id)
    return case


def _late(case: Erasure, noted: Scope) -> tuple[Scope, bool]:
    """Return what else is about the person by now, and whether there were keys to look for all of it."""
    members = [m for one in noted.member_ids if (m := trace_member(kind="member", value=str(one)))]
    has_keys = True
    try:
        declared = [d for member in members for d in declared_by(member)]
    except KeyUnavailable:
        # What is noted is destroyed all the same; the case ends once this could be looked for.
        declared, has_keys = [], False
    if case.subject_mac is not None:
        declared.append((case.subject_type, bytes(case.subject_mac)))
    until = case.identified_at or case.received_at
    documents = documents_declaring(declared, received_until=until)
    answers = answers_about(
        document_ids=documents | set(noted.document_ids), member_ids=noted.member_ids
    )
    late = Scope(
        tenant_id=case.tenant_id,
        document_ids=tuple(sorted(documents - set(noted.document_ids))),
        key_ids=tuple(key for member in members for key in member.key_ids),
        account_ids=tuple(account for member in members for account in member.account_ids),
        answer_ids=tuple(sorted(answers)),
        export_ids=exports_about(
            declared,
            document_ids=documents | set(noted.document_ids),
            member_ids=noted.member_ids,
        ),
    )
    return late, has_keys


def _hide(document_ids: Sequence[UUID], member_ids: Sequence[UUID]) -> None:
    """Hide documents for good but those under a hold, which are hidden; shut members out."""
    lock_documents(document_ids)
    lock_members(member_ids)
    # Looked for behind the locks: of a hold and an erasure at the same moment the first one stands.
    held = held_among(document_ids)
    hide_documents(document_ids=[one for one in document_ids if one not in held])
    for member_id in member_ids:
        hide_member(member_id=member_id)


def _scope(found: Found) -> Scope:
    member = found.member
    member_ids = (member.id,) if member else ()
    scope = Scope(
        tenant_id=current_tenant_id(),
        document_ids=found.document_ids,
        version_ids=versions_of(found.document_ids),
        member_ids=member_ids,
        key_ids=member.key_ids if member else (),
        account_ids=member.account_ids if member else (),
        answer_ids=tuple(
            sorted(
                answers_about(document_ids=found.document_ids, member_ids=member_ids)
                | set(found.answer_ids)
            )
        ),
        export_ids=exports_about(
            found.declared, document_ids=found.document_ids, member_ids=member_ids
        ),
    )
    return with_epoch(scope, get_tenant().salt_epoch)


def _receive(found: Found, reason: str, received_at: datetime) -> Erasure:
    kind, by_id = requester()
    case_id = uuid7()
    return Erasure.objects.create(
        id=case_id,
        subject_type=found.subject_type,
        subject_mac=found.subject_mac,
        reason_sealed=seal_reason(reason, found.identifiers, object_id=case_id, field="reason"),
        requested_by_kind=kind,
        requested_by_id=by_id,
        received_at=received_at,
    )


def cover(case: Erasure, found: Found, *, action: str) -> None:
    """Hide what a case covers, start its clock and hand it to the workers."""
    _hide(found.document_ids, (found.member.id,) if found.member else ())
    hide_answers(found.answer_ids)
    scope = _scope(found)
    set_due(case)
    case.state, case.hidden_at = ErasureState.HIDDEN, next_moment(case)
    case.salt_epoch = get_tenant().salt_epoch
    case.request_xid, case.database_system = this_transaction(), this_system()
    case.n_shared_documents = found.n_shared
    case.n_confirmed_documents = len(found.confirmed_ids)
    case.save()
    stop_handing_out(scope.export_ids)
    # What each holding has of it is counted by the worker: some take longer than hiding may.
    add_items(case.pk, scope)
    record(action, object_id=case.pk, document_ids=scope.document_ids, counts=_counts(scope))
    enqueue(ERASE, object_id=case.pk)
    watch(case)


def _preview(found: Found, reason: str, received_at: datetime) -> ErasureView:
    scope = _scope(found)
    goes = without_held(scope)
    held = held_back((*scope.document_ids, *scope.member_ids))
    kind, by_id = requester()
    record("erasure.previewed", document_ids=scope.document_ids, counts=_counts(scope))
    return ErasureView(
        id=None,
        tenant_id=scope.tenant_id,
        state="previewed",
        dry_run=True,
        subject_type=found.subject_type,
        subject_hash=found.subject_mac.hex() if found.subject_mac else None,
        reason=without(reason, found.identifiers),
        requested_by_kind=kind,
        requested_by_id=by_id,
        received_at=received_at,
        due_at=due_at(received_at),
        states=(StateTime("received", received_at),),
        attempts=0,
        counts=_counts(scope),
        holdings=holding_counts(count_found(goes)),
        n_shared_documents=found.n_shared,
        n_confirmed_documents=len(found.confirmed_ids),
        held=held,
        also_open=open_cases_about(found.declared),
        goes=_counts(goes),
        stays=what_stays(held, has_member=found.member is not None),
    )


def _counts(scope: Scope) -> dict[str, int]:
    counts = {
        "document": len(scope.document_ids),
        "member": len(scope.member_ids),
        "key": len(scope.key_ids),
        "account": len(scope.account_ids),
        "answer": len(scope.answer_ids),
        "export": len(scope.export_ids),
    }
    return {kind: n for kind, n in counts.items() if n}
