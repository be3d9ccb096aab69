"""Whom or what a request names, and what of it there is now."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from ambit.corpus.holdings import Declared, count_shared, documents_declaring, require_documents
from ambit.corpus.subjects import subject_mac
from ambit.corpus.types import SubjectRef
from ambit.keys.sealing import keyed_hash
from tenants.holdings import MemberTrace, trace_member
from tenants.scope import current_tenant_id

SUBJECT_TYPES = ("email", "external_id", "member")
DOCUMENTS = "documents"


class NothingNamed(ValueError):
    """A request names neither a person nor a document, or leaves the value blank; nothing was hidden."""


class TooMuchNamed(ValueError):
    """A request names a person and documents as two things, each a case with a receipt of its own."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a request covers, before anything is hidden."""

    subject_type: str
    subject_mac: bytes | None
    declared: tuple[Declared, ...]
    member: MemberTrace | None
    document_ids: tuple[UUID, ...]
    # Of these, the ones that do not declare the person: somebody named them.
    confirmed_ids: tuple[UUID, ...]
    # For taking them out of the reason; never kept.
    identifiers: tuple[str, ...] = field(repr=False)
    # Saved answers that are meant by themselves.
    answer_ids: tuple[UUID, ...] = ()

    @property
    def n_shared(self) -> int:
        """How many of the documents declare other identifiers too."""
        if not self.declared:
            return 0
        return count_shared(self.document_ids, subjects=self.declared)


def find_named(
    *,
    subject: SubjectRef | None,
    document_ids: Sequence[UUID] | None,
    also_document_ids: Sequence[UUID] | None = None,
) -> Found:
    """Return what is here of a person, or of documents, in custody.

    also_document_ids: documents that somebody confirmed to be about the person too.
    Raises NothingNamed, TooMuchNamed, SubjectAmbiguous, DocumentsUnknown.
    """
    if subject is not None and document_ids is not None:
        raise TooMuchNamed
    if also_document_ids is not None and (subject is None or not also_document_ids):
        raise NothingNamed
    if subject is not None:
        return _with_confirmed(about_person(subject), also_document_ids or ())
    if not document_ids:
        raise NothingNamed
    require_documents(document_ids)
    return Found(DOCUMENTS, None, (), None, tuple(sorted(set(document_ids))), (), ())


def declared_by(member: MemberTrace) -> tuple[Declared, ...]:
    """Return the ways in which documents may declare a member as their subject."""
    return (
        _declared("member", str(member.id)),
        _declared("email", member.email),
        _declared("external_id", member.external_id),
    )


def about_person(subject: SubjectRef) -> Found:
    """Return the member a person is, and what declares the person; raise NothingNamed, SubjectAmbiguous."""
    value = unicodedata.normalize("NFC", subject.value).strip()
    if not value or "\x00" in value or subject.type not in SUBJECT_TYPES:
        raise NothingNamed
    member = trace_member(kind=subject.type, value=value)
    own = _declared(subject.type, str(member.id) if member and subject.type == "member" else value)
    declared = tuple(dict.fromkeys([own, *(declared_by(member) if member else ())]))
    names = (member.email, member.external_id, member.name) if member else ()
    return Found(
        subject_type=subject.type,
        subject_mac=own[1],
        declared=declared,
        member=member,
        document_ids=tuple(sorted(documents_declaring(declared))),
        confirmed_ids=(),
        identifiers=(value, *names),
    )


def _with_confirmed(found: Found, also: Sequence[UUID]) -> Found:
    require_documents(also)
    confirmed = set(also) - set(found.document_ids)
    return replace(
        found,
        document_ids=tuple(sorted({*found.document_ids, *confirmed})),
        confirmed_ids=tuple(sorted(confirmed)),
    )


def _declared(kind: str, value: str) -> Declared:
    try:
        return kind, subject_mac(SubjectRef(kind, value))  # type: ignore[arg-type]  # one of SUBJECT_TYPES
    except ValueError:
        # A member's id that is none: no document can declare it, but the case needs its hash.
        data = f"{kind}|{value}".encode()
        return kind, keyed_hash(data, tenant_id=current_tenant_id(), purpose="subject")
