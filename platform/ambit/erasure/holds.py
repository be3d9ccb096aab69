"""What is under a hold now, and what of a case that leaves to be destroyed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from ambit.answers.holdings import answers_about
from ambit.corpus.holdings import versions_of
from ambit.erasure.models import ErasureItem, Restriction, RestrictionItem
from ambit.erasure.types import HeldBack
from tenants.holding import Scope

BATCH_IDS = 1000


def count_open_holds() -> int:
    """Return how many holds of the tenant in scope were not released."""
    return Restriction.objects.filter(lifted_at=None).exclude(basis="").count()


def open_holds() -> list[UUID]:
    """Return the holds of the tenant in scope that were not released, the oldest first."""
    found = Restriction.objects.filter(lifted_at=None).exclude(basis="")
    return list(found.order_by("pk").values_list("pk", flat=True))


def held_among(object_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of the documents and members that a hold is on."""
    return frozenset(item.object_id for item in _held_items(object_ids))


def holds_on(object_ids: Iterable[UUID]) -> tuple[tuple[str, str, UUID], ...]:
    """Return which holds are on these things: basis, kind and id."""
    items = _held_items(object_ids)
    bases = _bases_of(items)
    return tuple(sorted({(bases[i.restriction_id], i.kind, i.object_id) for i in items}))


def was_held(object_ids: Iterable[UUID], *, at: datetime | None) -> set[UUID]:
    """Return those of the things that a hold is on, or was lifted from after that time."""
    found = held_among(object_ids)
    if at is None:
        return set(found)
    items = RestrictionItem.objects.filter(object_id__in=list(object_ids), lifted_at__gt=at)
    bases = _bases_of(items)
    return {*found, *(item.object_id for item in items if bases[item.restriction_id])}


def without_held(scope: Scope) -> Scope:
    """Return what of a scope may be destroyed; nothing left is an empty scope."""
    held = held_among((*scope.document_ids, *scope.member_ids))
    if not held:
        return scope
    documents = tuple(one for one in scope.document_ids if one not in held)
    members = tuple(one for one in scope.member_ids if one not in held)
    # A case covers one member at most: its keys, account and questions are kept with it.
    kept = bool(scope.member_ids) and not members
    made = answers_about(document_ids=scope.document_ids, member_ids=())
    left = replace(
        scope,
        document_ids=documents,
        version_ids=versions_of(documents),
        member_ids=members,
        key_ids=() if kept else scope.key_ids,
        account_ids=() if kept else scope.account_ids,
        answer_ids=tuple(a for a in scope.answer_ids if not kept or a in made),
    )
    return left if left else replace(left, salt_epoch=None)


def held_back_by_case(case_ids: Iterable[UUID]) -> dict[UUID, tuple[HeldBack, ...]]:
    """Return how many things of each case are under a hold, by its legal basis."""
    of_cases = defaultdict(set)
    for case_id, object_id in ErasureItem.objects.filter(
        erasure_id__in=list(case_ids), kind__in=("document", "member")
    ).values_list("erasure_id", "object_id"):
        of_cases[object_id].add(case_id)
    counted: defaultdict[UUID, list[RestrictionItem]] = defaultdict(list)
    for item in _held_items(of_cases):
        for case_id in of_cases[item.object_id]:
            counted[case_id].append(item)
    return {case_id: _by_basis(items) for case_id, items in counted.items()}


def held_back(object_ids: Iterable[UUID]) -> tuple[HeldBack, ...]:
    """Return how many of these things are under a hold, by its legal basis."""
    return _by_basis(_held_items(object_ids))


def _held_items(object_ids: Iterable[UUID]) -> list[RestrictionItem]:
    wanted = sorted(set(object_ids))
    items: list[RestrictionItem] = []
    for start in range(0, len(wanted), BATCH_IDS):
        items += RestrictionItem.objects.filter(
            object_id__in=wanted[start : start + BATCH_IDS], lifted_at=None
        ).exclude(held_document_id=None, held_member_id=None)
    return items


def _by_basis(items: Iterable[RestrictionItem]) -> tuple[HeldBack, ...]:
    items = list(items)
    bases = _bases_of(items)
    found: defaultdict[str, dict[str, set[UUID]]] = defaultdict(lambda: defaultdict(set))
    for item in items:
        found[bases[item.restriction_id]][item.kind].add(item.object_id)
    return tuple(
        HeldBack(basis, len(kinds["document"]), len(kinds["member"]))
        for basis, kinds in sorted(found.items())
    )


def _bases_of(items: Iterable[RestrictionItem]) -> dict[UUID, str]:
    ids = {item.restriction_id for item in items}
    return dict(Restriction.objects.filter(pk__in=ids).values_list("pk", "basis"))
