"""Holds (Art. 17(3) GDPR) and restrictions (Art. 18): kept, and read by nobody.

Either hides documents as an erasure does, from the commit on and at every door. A hold stops their
destruction too, and that of a member; a restriction alone does not stand against an erasure. Of a
hold and an erasure of the same thing the first one committed stands whole: what an erasure covers
cannot be held any more, and what is held the erasure covers and leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.utils import timezone

from ambit.corpus.holdings import documents_gone, lock_documents
from ambit.corpus.services import hide_documents, return_documents, withhold_documents
from ambit.corpus.types import SubjectRef
from ambit.erasure.cases import requester
from ambit.erasure.clock import watch
from ambit.erasure.closing import stand_beside
from ambit.erasure.holds import held_among
from ambit.erasure.members import lock_members
from ambit.erasure.models import Erasure, ErasureItem, ErasureState, Restriction, RestrictionItem
from ambit.erasure.reasons import open_reason, required, seal_reason
from ambit.erasure.subjects import DOCUMENTS, Found, find_named
from ambit.erasure.types import RestrictionView
from ambit.jobs.kinds import ERASE
from ambit.jobs.services import hurry
from ambit.notices.services import announce
from tenants.audit import record
from tenants.ids import uuid7
from tenants.scope import custody_scope

Kind = Literal["hold", "restriction"]
# The exceptions of Art. 17(3) GDPR.
BASES = {
    "a": "freedom of expression and information",
    "b": "a legal obligation, or a task in the public interest",
    "c": "public health",
    "d": "archiving, research or statistics",
    "e": "legal claims",
}
BATCH_ROWS = 1000
# Of a hold that a restored backup knew nothing of.
HELD_AGAIN = "Placed again after a backup of before the hold was restored; its reason was not kept."
REVIEW_AGAIN = timedelta(days=30)


class RestrictionNotFound(LookupError):
    """There is no such hold or restriction in this tenant."""


class HoldNotFound(RestrictionNotFound):
    """There is no such hold in this tenant."""


class NothingToRestrict(LookupError):
    """Nothing is here of the person; a hold on nothing would promise what it cannot keep."""


class BeingErased(RuntimeError):
    """Something named is deleted, erased or covered by an erasure; nothing was held or hidden."""


class AlreadyLifted(RuntimeError):
    """The hold or restriction was lifted before."""


class UnknownBasis(ValueError):
    """A hold needs one of the letters of Art. 17(3) GDPR."""


class ReviewNotAhead(ValueError):
    """The time of review is not in the future."""


def place_hold(
    *,
    subject: SubjectRef | None,
    document_ids: Sequence[UUID] | None,
    basis: str,
    review_at: datetime,
    reason: str,
) -> RestrictionView:
    """Keep documents, or a member and what declares it now, against every erasure; hide the documents.

    Raises NothingNamed, TooMuchNamed, SubjectAmbiguous, DocumentsUnknown, NothingToRestrict,
    BeingErased, UnknownBasis, ReviewNotAhead, ReasonMissing.
    """
    if basis not in BASES:
        raise UnknownBasis(basis)
    if review_at <= timezone.now():
        raise ReviewNotAhead(review_at)
    with custody_scope():
        found = find_named(subject=subject, document_ids=document_ids)
        members = (found.member.id,) if found.member else ()
        return _place(found, members, basis=basis, review_at=review_at, reason=reason)


def place_restriction(
    *, subject: SubjectRef | None, document_ids: Sequence[UUID] | None, reason: str
) -> RestrictionView:
    """Hide documents, or what declares a person now, without destroying anything.

    Raises NothingNamed, TooMuchNamed, SubjectAmbiguous, DocumentsUnknown, NothingToRestrict,
    BeingErased, ReasonMissing.
    """
    with custody_scope():
        found = find_named(subject=subject, document_ids=document_ids)
        return _place(found, (), basis="", review_at=None, reason=reason)


def hold_again(
    *, basis: str, document_ids: Sequence[UUID], member_ids: Sequence[UUID]
) -> RestrictionView:
    """Place a hold that was there when something else of its case was destroyed, and not in the backup.

    Its reason went with what was not restored: somebody looks again, and the review is due in a month.
    """
    found = Found(DOCUMENTS, None, (), None, tuple(sorted(document_ids)), (), ())
    return _place(
        found,
        tuple(sorted(member_ids)),
        basis=basis,
        review_at=timezone.now() + REVIEW_AGAIN,
        reason=HELD_AGAIN,
        again=True,
    )


def lift(*, kind: Kind, restriction_id: UUID) -> RestrictionView:
    """End a hold or restriction: what nothing else hides comes back, what an erasure covers goes.

    Raises HoldNotFound, RestrictionNotFound, AlreadyLifted.
    """
    with custody_scope():
        row = _of_kind(kind, restriction_id, lock=True)
        if row.lifted_at is not None:
            raise AlreadyLifted(restriction_id)
        items = list(RestrictionItem.objects.filter(restriction_id=row.pk))
        documents = [i.object_id for i in items if i.kind == "document"]
        lock_documents(documents)
        lock_members([i.object_id for i in items if i.kind == "member"])
        now = timezone.now()
        Restriction.objects.filter(pk=row.pk).update(lifted_at=now)
        RestrictionItem.objects.filter(restriction_id=row.pk).update(
            lifted_at=now, held_document_id=None, held_member_id=None
        )
        _go_on([i.object_id for i in items], documents)
        action = "hold.released" if row.basis else "restriction.lifted"
        record(action, object_id=row.pk, document_ids=documents)
        if not row.basis:
            announce("restriction.lifted", object_id=row.pk, document_ids=documents)
        return get_restriction(kind=kind, restriction_id=row.pk)


def get_restriction(*, kind: Kind, restriction_id: UUID) -> RestrictionView:
    """Return a hold or a restriction; raise HoldNotFound, RestrictionNotFound."""
    return _views([_of_kind(kind, restriction_id)])[0]


def list_restrictions(*, kind: Kind, after: UUID | None, limit: int) -> list[RestrictionView]:
    """Return the tenant's holds or restrictions newest first, the lifted ones too."""
    of_kind = Restriction.objects.order_by("-pk")
    found = of_kind.exclude(basis="") if kind == "hold" else of_kind.filter(basis="")
    return _views(list((found.filter(pk__lt=after) if after else found)[:limit]))


def _place(
    found: Found,
    member_ids: tuple[UUID, ...],
    *,
    basis: str,
    review_at: datetime | None,
    reason: str,
    again: bool = False,
) -> RestrictionView:
    words = required(reason)
    if not found.document_ids and not member_ids:
        raise NothingToRestrict
    if basis:
        # Of a hold and an off-boarding at the same moment the first one stands.
        stand_beside()
    lock_documents(found.document_ids)
    lock_members(member_ids)
    if not again:
        _refuse_erased(found.document_ids, member_ids)
    kind, by_id = requester()
    restriction_id = uuid7()
    Restriction.objects.create(
        id=restriction_id,
        basis=basis,
        subject_type=found.subject_type,
        reason_sealed=seal_reason(
            words, found.identifiers, object_id=restriction_id, field="reason"
        ),
        placed_by_kind=kind,
        placed_by_id=by_id,
        placed_at=timezone.now(),
        review_at=review_at,
    )
    _add_items(restriction_id, found.document_ids, member_ids, held=bool(basis))
    withhold_documents(document_ids=found.document_ids)
    record(
        "hold.placed" if basis else "restriction.placed",
        object_id=restriction_id,
        document_ids=found.document_ids,
        counts={"document": len(found.document_ids), "member": len(member_ids)},
    )
    # A hold is told to nobody: it may be about a claim against a recipient.
    if not basis:
        announce("restriction.placed", object_id=restriction_id, document_ids=found.document_ids)
    return get_restriction(kind="hold" if basis else "restriction", restriction_id=restriction_id)


def _refuse_erased(document_ids: Sequence[UUID], member_ids: Sequence[UUID]) -> None:
    """Raise BeingErased for what is gone or covered, but where it is held already."""
    covered = set(_open_cases((*document_ids, *member_ids)))
    lost = documents_gone(document_ids) | (covered - held_among(covered))
    if lost:
        raise BeingErased(len(lost))


def _add_items(
    restriction_id: UUID, document_ids: Iterable[UUID], member_ids: Iterable[UUID], *, held: bool
) -> None:
    documents = [
        RestrictionItem(
            restriction_id=restriction_id,
            kind="document",
            object_id=one,
            held_document_id=one if held else None,
        )
        for one in document_ids
    ]
    members = [
        RestrictionItem(
            restriction_id=restriction_id, kind="member", object_id=one, held_member_id=one
        )
        for one in member_ids
    ]
    RestrictionItem.objects.bulk_create([*documents, *members], batch_size=BATCH_ROWS)


def _go_on(object_ids: Sequence[UUID], document_ids: Sequence[UUID]) -> None:
    """Destroy or give back what nothing holds any more."""
    held = held_among(object_ids)
    cases = {one: ids for one, ids in _open_cases(object_ids).items() if one not in held}
    hide_documents(document_ids=[one for one in document_ids if one in cases])
    still = set(
        RestrictionItem.objects.filter(object_id__in=document_ids, lifted_at=None).values_list(
            "object_id", flat=True
        )
    )
    # What was just hidden for good does not come back.
    return_documents(document_ids=[one for one in document_ids if one not in still])
    # Behind whoever just says that a case is held: its job may be about to end.
    ids = {case_id for some in cases.values() for case_id in some}
    for case in Erasure.objects.select_for_update().filter(pk__in=ids).order_by("pk"):
        # Whoever destroys what was held, this case was scrubbed before that.
        case.state, case.shredded_xid = ErasureState.HIDDEN, 0
        case.save(update_fields=["state", "shredded_xid"])
        watch(case)
        hurry(ERASE, object_id=case.pk)


def _open_cases(object_ids: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    """Return which of the things are covered by open erasures, and by which."""
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    open_ids = Erasure.objects.filter(closed_at=None, refused_at=None).values("pk")
    items = ErasureItem.objects.filter(object_id__in=list(object_ids), erasure_id__in=open_ids)
    for object_id, case_id in items.values_list("object_id", "erasure_id"):
        found[object_id].add(case_id)
    return found


def _of_kind(kind: Kind, restriction_id: UUID, *, lock: bool = False) -> Restriction:
    rows = Restriction.objects.select_for_update() if lock else Restriction.objects.all()
    row = rows.filter(pk=restriction_id).first()
    if row is None or bool(row.basis) != (kind == "hold"):
        raise (HoldNotFound if kind == "hold" else RestrictionNotFound)(restriction_id)
    return row


def _views(rows: Sequence[Restriction]) -> list[RestrictionView]:
    ids: defaultdict[UUID, defaultdict[str, list[UUID]]] = defaultdict(lambda: defaultdict(list))
    items = RestrictionItem.objects.filter(restriction_id__in=[row.pk for row in rows])
    for item in items.order_by("object_id"):
        ids[item.restriction_id][item.kind].append(item.object_id)
    return [
        RestrictionView(
            id=row.pk,
            basis=row.basis,
            subject_type=row.subject_type,
            reason=open_reason(row.reason_sealed, object_id=row.pk, field="reason"),
            placed_by_kind=row.placed_by_kind,
            placed_by_id=row.placed_by_id,
            placed_at=row.placed_at,
            review_at=row.review_at,
            lifted_at=row.lifted_at,
            document_ids=tuple(ids[row.pk]["document"]),
            member_ids=tuple(ids[row.pk]["member"]),
        )
        for row in rows
    ]
