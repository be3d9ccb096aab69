"""Receive requests to forget. From the commit of a request on, nothing retrieves what it covers.

Hiding happens in the request's own transaction: documents leave every reader's sight, their keys
are disabled, the member is shut out. Destroying is the workers' (workers/erase). A request without
a subject and without documents, with a blank value or an unknown id, changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from ambit.answers.holdings import answers_about
from ambit.corpus.holdings import (
    Declared,
    count_shared,
    documents_declaring,
    lock_documents,
    require_documents,
    versions_of,
)
from ambit.corpus.services import hide_documents
from ambit.corpus.subjects import subject_mac
from ambit.corpus.types import SubjectRef
from ambit.erasure.calendar import due_at
from ambit.erasure.cases import (
    CaseNotFound,
    add_items,
    count_found,
    is_settled,
    note_found,
    scope_of,
    this_transaction,
    with_epoch,
)
from ambit.erasure.models import Erasure, ErasureState
from ambit.erasure.queries import REASON, get_erasure, holding_counts
from ambit.erasure.types import Case, ErasureView, StateTime
from ambit.jobs.kinds import ERASE
from ambit.jobs.services import enqueue
from ambit.keys.sealing import keyed_hash, new_data_key, seal_text
from tenants.audit import current_actor, record
from tenants.holding import Scope
from tenants.holdings import MemberTrace, hide_member, trace_member
from tenants.ids import uuid7
from tenants.queries import get_tenant
from tenants.scope import current_tenant_id, custody_scope

SUBJECT_TYPES = ("email", "external_id", "member")
DOCUMENTS = "documents"
REMOVED = "[subject]"


class NothingNamed(ValueError):
    """A request names neither a person nor a document, or leaves the value blank; nothing was hidden."""


class TooMuchNamed(ValueError):
    """A request names a person and documents at once: two cases, each with its own receipt."""


class ReasonMissing(ValueError):
    """A request gives no reason; nothing was hidden."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What a request covers, before anything is hidden."""

    subject_type: str
    subject_mac: bytes | None
    declared: tuple[Declared, ...]
    member: MemberTrace | None
    document_ids: tuple[UUID, ...]
    # For taking them out of the reason; never kept.
    identifiers: tuple[str, ...] = field(repr=False)


def request_erasure(
    *,
    subject: SubjectRef | None,
    document_ids: Sequence[UUID] | None,
    reason: str,
    dry_run: bool,
) -> ErasureView:
    """Open a case for a person or for documents, hide what it covers and hand it to the workers.

    A dry run finds the same, hides nothing and keeps nothing but an audit event. A person who is
    not known here gets a case too, and a receipt that says that nothing was held. Raises
    NothingNamed, TooMuchNamed, ReasonMissing, SubjectAmbiguous, DocumentsUnknown.
    """
    if not reason.strip():
        raise ReasonMissing
    received_at = timezone.now()
    with custody_scope():
        request = _read(subject, document_ids)
        if dry_run:
            return _preview(request, reason.strip(), received_at)
        _hide(request)
        return get_erasure(erasure_id=_open(request, reason.strip(), received_at))


def take_up(case_id: UUID) -> Case:
    """Return an open case with all it covers by now, in the tenant's scope; raise CaseNotFound.

    An upload or an answer that was under way when the request came may have been stored after it:
    what was received before the request is added, and hidden too.
    """
    with custody_scope():
        case = Erasure.objects.select_for_update().filter(pk=case_id, closed_at=None).first()
        if case is None:
            raise CaseNotFound(case_id)
        # Asked before looking: whatever is committed by then is seen below.
        settled = is_settled(case)
        noted = scope_of(case)
        late = _late(case, noted)
        lock_documents(late.document_ids)
        hide_documents(document_ids=late.document_ids)
        for member_id in noted.member_ids:
            hide_member(member_id=member_id)
        add_items(case_id, late)
        scope = scope_of(case)
        note_found(case_id, count_found(scope))
        return Case(case_id, scope, settled)


def _late(case: Erasure, noted: Scope) -> Scope:
    members = [m for one in noted.member_ids if (m := trace_member(kind="member", value=str(one)))]
    declared = [d for member in members for d in declared_by(member)]
    if case.subject_mac is not None:
        declared.append((case.subject_type, bytes(case.subject_mac)))
    documents = documents_declaring(declared, received_until=case.received_at)
    answers = answers_about(
        document_ids=documents | set(noted.document_ids), member_ids=noted.member_ids
    )
    return Scope(
        tenant_id=case.tenant_id,
        document_ids=tuple(sorted(documents - set(noted.document_ids))),
        key_ids=tuple(key for member in members for key in member.key_ids),
        account_ids=tuple(account for member in members for account in member.account_ids),
        answer_ids=tuple(sorted(answers)),
    )


def _read(subject: SubjectRef | None, document_ids: Sequence[UUID] | None) -> _Request:
    if subject is not None and document_ids is not None:
        raise TooMuchNamed
    if subject is not None:
        return _about_person(subject)
    if not document_ids:
        raise NothingNamed
    require_documents(document_ids)
    return _Request(DOCUMENTS, None, (), None, tuple(sorted(set(document_ids))), ())


def _about_person(subject: SubjectRef) -> _Request:
    value = unicodedata.normalize("NFC", subject.value).strip()
    if not value or "\x00" in value or subject.type not in SUBJECT_TYPES:
        raise NothingNamed
    member = trace_member(kind=subject.type, value=value)
    own = _declared(subject.type, str(member.id) if member and subject.type == "member" else value)
    declared = tuple(dict.fromkeys([own, *(declared_by(member) if member else ())]))
    names = (member.email, member.external_id, member.name) if member else ()
    return _Request(
        subject_type=subject.type,
        subject_mac=own[1],
        declared=declared,
        member=member,
        document_ids=tuple(sorted(documents_declaring(declared))),
        identifiers=(value, *names),
    )


def declared_by(member: MemberTrace) -> tuple[Declared, ...]:
    """Return the ways in which documents may declare a member as their subject."""
    return (
        _declared("member", str(member.id)),
        _declared("email", member.email),
        _declared("external_id", member.external_id),
    )


def _declared(kind: str, value: str) -> Declared:
    try:
        return kind, subject_mac(SubjectRef(kind, value))  # type: ignore[arg-type]  # one of SUBJECT_TYPES
    except ValueError:
        # A member's id that is none: no document can declare it, but the case needs its hash.
        data = f"{kind}|{value}".encode()
        return kind, keyed_hash(data, tenant_id=current_tenant_id(), purpose="subject")


def _hide(request: _Request) -> None:
    lock_documents(request.document_ids)
    hide_documents(document_ids=request.document_ids)
    if request.member is not None:
        hide_member(member_id=request.member.id)


def _scope(request: _Request) -> Scope:
    member = request.member
    member_ids = (member.id,) if member else ()
    scope = Scope(
        tenant_id=current_tenant_id(),
        document_ids=request.document_ids,
        version_ids=versions_of(request.document_ids),
        member_ids=member_ids,
        key_ids=member.key_ids if member else (),
        account_ids=member.account_ids if member else (),
        answer_ids=tuple(
            sorted(answers_about(document_ids=request.document_ids, member_ids=member_ids))
        ),
    )
    return with_epoch(scope, get_tenant().salt_epoch)


def _open(request: _Request, reason: str, received_at: datetime) -> UUID:
    scope = _scope(request)
    kind, by_id = _requester()
    case_id = uuid7()
    Erasure.objects.create(
        id=case_id,
        state=ErasureState.HIDDEN,
        subject_type=request.subject_type,
        subject_mac=request.subject_mac,
        reason_sealed=_seal_reason(reason, request.identifiers, case_id=case_id),
        requested_by_kind=kind,
        requested_by_id=by_id,
        received_at=received_at,
        due_at=due_at(received_at),
        hidden_at=timezone.now(),
        salt_epoch=get_tenant().salt_epoch,
        request_xid=this_transaction(),
        n_shared_documents=_shared(request),
    )
    # What each holding has of it is counted by the worker: some take longer than hiding may.
    add_items(case_id, scope)
    record(
        "erasure.requested",
        object_id=case_id,
        document_ids=scope.document_ids,
        counts=_counts(scope),
    )
    enqueue(ERASE, object_id=case_id)
    return case_id


def _preview(request: _Request, reason: str, received_at: datetime) -> ErasureView:
    scope = _scope(request)
    kind, by_id = _requester()
    record("erasure.previewed", document_ids=scope.document_ids, counts=_counts(scope))
    return ErasureView(
        id=None,
        tenant_id=scope.tenant_id,
        state="previewed",
        dry_run=True,
        subject_type=request.subject_type,
        subject_hash=request.subject_mac.hex() if request.subject_mac else None,
        reason=_without(reason, request.identifiers),
        requested_by_kind=kind,
        requested_by_id=by_id,
        received_at=received_at,
        due_at=due_at(received_at),
        states=(StateTime("received", received_at),),
        attempts=0,
        counts=_counts(scope),
        holdings=holding_counts(count_found(scope)),
        n_shared_documents=_shared(request),
    )


def _requester() -> tuple[str, UUID | None]:
    """Return who asks: the member a service's key acts for, else the key, account or member itself."""
    actor = current_actor()
    return ("member", actor.member_id) if actor.member_id else (actor.kind, actor.id)


def _shared(request: _Request) -> int:
    if not request.declared:
        return 0
    return count_shared(request.document_ids, subjects=request.declared)


def _counts(scope: Scope) -> dict[str, int]:
    counts = {
        "document": len(scope.document_ids),
        "member": len(scope.member_ids),
        "key": len(scope.key_ids),
        "account": len(scope.account_ids),
        "answer": len(scope.answer_ids),
    }
    return {kind: n for kind, n in counts.items() if n}


def _seal_reason(reason: str, identifiers: Iterable[str], *, case_id: UUID) -> bytes:
    tenant_id = current_tenant_id()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=case_id)
    text = _without(reason, identifiers)
    sealed = seal_text(key, text, tenant_id=tenant_id, object_id=case_id, field=REASON)
    return len(wrapped).to_bytes(2, "big") + wrapped + sealed


def _without(reason: str, identifiers: Iterable[str]) -> str:
    """Take the person's identifiers out of the words of a reason, wherever they stand alone."""
    for text in sorted({i.strip() for i in identifiers if i.strip()}, key=len, reverse=True):
        reason = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", REMOVED, reason, flags=re.IGNORECASE)
    return reason
