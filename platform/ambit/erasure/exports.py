"""Requests for access (Art. 15 and 20 GDPR): who is meant, and what of them may be given out.

Found as an erasure finds it, in custody: a privacy officer without a clearance asks, and reads none
of it here. What an erasure covers for good is not given out any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q

from ambit.corpus.holdings import Declared, documents_gone
from ambit.corpus.types import SubjectRef
from ambit.erasure.cases import requester
from ambit.erasure.holds import held_among
from ambit.erasure.models import Erasure, ErasureItem, Restriction, RestrictionItem
from ambit.erasure.queries import get_erasure
from ambit.erasure.reasons import open_reason, required, seal_reason
from ambit.erasure.restrictions import get_restriction
from ambit.erasure.subjects import NothingNamed, find_named
from ambit.erasure.types import ErasureView, RestrictionView
from ambit.export.queries import get_export
from ambit.export.services import open_export
from ambit.export.types import ExportView
from tenants.holdings import MemberTrace
from tenants.ids import uuid7
from tenants.scope import custody_scope


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an archive is for, and what of them there is to tell."""

    # How documents may declare the person.
    declared: tuple[Declared, ...]
    # None: no member, or one that an erasure destroys.
    member: MemberTrace | None
    # The identifier of the request and the member's, by which the person is known here.
    identifiers: tuple[str, ...] = field(repr=False)
    # Without what is deleted or erased for good.
    document_ids: tuple[UUID, ...]
    n_being_destroyed: int
    member_is_being_erased: bool


def request_export(*, subject: SubjectRef | None, reason: str, include_shared: bool) -> ExportView:
    """Receive a request for everything about a person and hand it to the workers.

    A person who is not known here gets an archive too, which says that nothing is held. Raises
    NothingNamed, SubjectAmbiguous, ReasonMissing.
    """
    words = required(reason)
    if subject is None:
        raise NothingNamed
    with custody_scope():
        found = find_named(subject=subject, document_ids=None)
        export_id = uuid7()
        member = found.member
        being_erased = member is not None and is_being_erased(member.id)
        open_export(
            export_id=export_id,
            subject_type=found.subject_type,
            subject_value=subject.value.strip(),
            subject_mac=found.subject_mac or b"",
            member_id=member.id if member and not being_erased else None,
            include_shared=include_shared,
            reason_sealed=seal_reason(
                words, found.identifiers, object_id=export_id, field="reason"
            ),
            requested_by=requester(),
        )
        return get_export(export_id=export_id)


def reason_of(export: ExportView) -> str:
    """Return why an export was asked for."""
    return open_reason(export.reason_sealed, object_id=export.id, field="reason")


def find_person(subject: SubjectRef) -> Person:
    """Return what there is of a person now, in custody; raise SubjectAmbiguous."""
    found = find_named(subject=subject, document_ids=None)
    gone = documents_gone(found.document_ids)
    member = found.member
    being_erased = member is not None and is_being_erased(member.id)
    return Person(
        declared=found.declared,
        member=None if being_erased else member,
        identifiers=found.identifiers,
        document_ids=tuple(one for one in found.document_ids if one not in gone),
        n_being_destroyed=len(gone),
        member_is_being_erased=being_erased,
    )


def is_being_erased(member_id: UUID) -> bool:
    """Say whether an open erasure covers a member whom no hold keeps."""
    cases = Erasure.objects.filter(closed_at=None, refused_at=None).values("pk")
    items = ErasureItem.objects.filter(kind="member", object_id=member_id, erasure_id__in=cases)
    return items.exists() and not held_among([member_id])


def cases_about(declared: Sequence[Declared], member_ids: Iterable[UUID]) -> list[ErasureView]:
    """Return the erasures that name a person or cover the member, the ended ones too; oldest first."""
    items = ErasureItem.objects.filter(kind="member", object_id__in=list(member_ids))
    named = Q(pk__in=items.values("erasure_id"))
    for kind, mac in declared:
        named |= Q(subject_type=kind, subject_mac=mac)
    found = Erasure.objects.filter(named).order_by("pk").values_list("pk", flat=True)
    return [get_erasure(erasure_id=one) for one in found]


def restrictions_about(object_ids: Iterable[UUID]) -> list[RestrictionView]:
    """Return the holds and restrictions on documents or a member, the ended ones too; oldest first."""
    items = RestrictionItem.objects.filter(object_id__in=list(object_ids))
    rows = Restriction.objects.filter(pk__in=items.values("restriction_id")).order_by("pk")
    return [
        get_restriction(kind="hold" if basis else "restriction", restriction_id=pk)
        for pk, basis in rows.values_list("pk", "basis")
    ]
