"""The identity check: what a request names stays sealed until it is known who asked.

Until then nothing is looked for, hidden or kept in clear. The key goes with the row in the
transaction in which the case leaves `received`, to be worked on or refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ambit.corpus.types import SubjectRef
from ambit.erasure.models import Erasure, ErasureItem, PendingRequest
from ambit.erasure.subjects import Found, find_named
from ambit.keys.sealing import new_data_key, open_data_key, open_text, seal_text
from tenants.holdings import SubjectAmbiguous, trace_member

NAMED = "named"


class NotPending(RuntimeError):
    """The identity check of the case is over: it is worked on, closed or refused."""


@dataclass(frozen=True, slots=True)
class _Named:
    """What a pending request names."""

    subject: SubjectRef | None
    document_ids: list[UUID] | None
    also_document_ids: list[UUID] | None


def keep_named(
    case: Erasure,
    *,
    subject: SubjectRef | None,
    document_ids: Sequence[UUID] | None,
    also_document_ids: Sequence[UUID] | None,
) -> None:
    """Seal whom or what a request names under a key of its own."""
    key, wrapped = new_data_key(tenant_id=case.tenant_id, object_id=case.pk)
    named = {
        "subject": [subject.type, subject.value] if subject else None,
        "documents": _texts(document_ids),
        "also": _texts(also_document_ids),
    }
    sealed = seal_text(
        key, json.dumps(named), tenant_id=case.tenant_id, object_id=case.pk, field=NAMED
    )
    PendingRequest.objects.create(erasure_id=case.pk, wrapped_key=wrapped, named_sealed=sealed)


def find_kept(case: Erasure) -> Found:
    """Look again for what a pending request names, as it is now; raise NotPending.

    Raises SubjectAmbiguous where the name has come to mean several members.
    """
    named = _open_named(case)
    if named is None:
        raise NotPending(case.pk)
    return find_named(
        subject=named.subject,
        document_ids=named.document_ids,
        also_document_ids=named.also_document_ids,
    )


def identifiers_of(case: Erasure) -> tuple[str, ...]:
    """Return the identifiers of whom a case is about, as far as they are still to be known."""
    named = _open_named(case)
    if named is not None:
        value = (named.subject.value,) if named.subject else ()
        try:
            return (*value, *find_kept(case).identifiers)
        except SubjectAmbiguous:
            return value
    members = ErasureItem.objects.filter(erasure_id=case.pk, kind="member")
    traces = (
        trace_member(kind="member", value=str(one))
        for one in members.values_list("object_id", flat=True)
    )
    return tuple(text for t in traces if t for text in (t.email, t.external_id, t.name))


def _open_named(case: Erasure) -> _Named | None:
    kept = PendingRequest.objects.filter(erasure_id=case.pk).first()
    if kept is None:
        return None
    key = open_data_key(bytes(kept.wrapped_key), tenant_id=case.tenant_id, object_id=case.pk)
    text = open_text(
        key, bytes(kept.named_sealed), tenant_id=case.tenant_id, object_id=case.pk, field=NAMED
    )
    named = json.loads(text)
    return _Named(
        subject=SubjectRef(*named["subject"]) if named["subject"] else None,
        document_ids=_ids(named["documents"]),
        # A request that an older version kept names none.
        also_document_ids=_ids(named.get("also")),
    )


def _texts(ids: Sequence[UUID] | None) -> list[str] | None:
    return [str(one) for one in ids] if ids is not None else None


def _ids(texts: list[str] | None) -> list[UUID] | None:
    return [UUID(one) for one in texts] if texts else None


def forget_named(case: Erasure) -> None:
    """Destroy what a pending request names, with its key; raise NotPending."""
    deleted, _ = PendingRequest.objects.filter(erasure_id=case.pk).delete()
    if not deleted:
        raise NotPending(case.pk)
