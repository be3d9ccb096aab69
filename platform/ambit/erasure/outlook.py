"""What a request would find beside itself, and what it would leave: for a dry run, and for who asks twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from ambit.corpus.holdings import Declared
from ambit.erasure.models import Erasure, ErasureItem
from ambit.erasure.types import HeldBack, Stays

EVIDENCE = Stays(
    "audit events, cases, receipts and holds", None, "evidence: ids and counts, no content"
)
UPLOADS = Stays(
    "documents the member uploaded that do not declare them",
    None,
    "about others: only the mark of who uploaded them goes",
)


def open_cases_about(declared: Iterable[Declared]) -> tuple[UUID, ...]:
    """Return the open cases that name one of a person's identifiers; for none given, none."""
    named = Q(pk__in=[])
    for kind, mac in declared:
        named |= Q(subject_type=kind, subject_mac=mac)
    found = Erasure.objects.filter(named, closed_at=None, refused_at=None)
    return tuple(found.order_by("pk").values_list("pk", flat=True))


def open_cases_beside(cases: Iterable[Erasure]) -> dict[UUID, tuple[UUID, ...]]:
    """Return for each open case the others that name the same identifier or cover the same member."""
    asked = {case.pk for case in cases if case.closed_at is None and case.refused_at is None}
    if not asked:
        return {}
    about: defaultdict[tuple[str, bytes], set[UUID]] = defaultdict(set)
    still_open = Erasure.objects.filter(closed_at=None, refused_at=None)
    named = still_open.exclude(subject_mac=None)
    for pk, kind, mac in named.values_list("pk", "subject_type", "subject_mac"):
        about[kind, bytes(mac or b"")].add(pk)
    members = ErasureItem.objects.filter(kind="member", erasure_id__in=still_open.values("pk"))
    for pk, member_id in members.values_list("erasure_id", "object_id"):
        about["", member_id.bytes].add(pk)
    beside: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for group in about.values():
        for pk in group & asked:
            beside[pk] |= group - {pk}
    return {pk: tuple(sorted(others)) for pk, others in beside.items()}


def what_stays(held: Iterable[HeldBack], *, has_member: bool) -> tuple[Stays, ...]:
    """Return what an erasure would leave, and why. Pure."""
    stays = []
    for one in held:
        why = f"held: Art. 17(3)({one.basis}) GDPR, until the hold is released"
        stays += [
            Stays(what, n, why)
            for what, n in (("documents", one.n_documents), ("members", one.n_members))
            if n
        ]
    return (*stays, *((UPLOADS,) if has_member else ()), EVIDENCE)
